// The panels beside the picture. A panel is there when the server can do what it is for.

import { Area } from "./area.js";
import { Gallery } from "./gallery.js";
import { icon } from "./icons.js";
import { num } from "./frame.js";
import { mask } from "./paint.js";
import { Photo } from "./photo.js";
import * as points from "./points.js";
import { Sliders } from "./sliders.js";
import { draftOf, running, sideOf } from "./state.js";
import { NumberField } from "./typed.js";
import { html } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */
/** @typedef {import("./state.js").Tab} Tab */

/** @type {{tab: Tab, label: string, needs: string, panel: (props: Props) => unknown}[]} */
const TABS = [
  { tab: "drag", label: "Drag", needs: "drag", panel: Drag },
  { tab: "sliders", label: "Sliders", needs: "attribute", panel: Sliders },
  { tab: "area", label: "Area", needs: "intervention", panel: Area },
  { tab: "photo", label: "Photo", needs: "inversion", panel: Photo },
  { tab: "gallery", label: "Gallery", needs: "", panel: Gallery },
];

/** @param {Props} props */
export function Panels({ studio }) {
  const { state } = studio;
  const tabs = TABS.filter(({ needs }) => !needs || !state.welcome || state.welcome.edits.includes(needs));
  const chosen = tabs.find(({ tab }) => tab === state.tab) ?? tabs[0];
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = tabs[(tabs.indexOf(chosen) + way + tabs.length) % tabs.length];
    open(studio, next.tab);
    document.getElementById(`tab-${next.tab}`)?.focus();
    event.preventDefault();
  };
  return html`
    <section class="panels" aria-label="What to change">
      <div class="tabs" role="tablist" onKeyDown=${key}>
        ${tabs.map(
          ({ tab, label }) => html`
            <button
              key=${tab}
              id=${`tab-${tab}`}
              role="tab"
              aria-selected=${tab === chosen.tab}
              aria-controls="panel"
              tabindex=${tab === chosen.tab ? 0 : -1}
              onClick=${() => open(studio, tab)}
            >
              ${label}
            </button>
          `,
        )}
      </div>
      <div class="panel" id="panel" role="tabpanel" aria-labelledby=${`tab-${chosen.tab}`} tabindex="0">
        <${chosen.panel} studio=${studio} />
      </div>
    </section>
  `;
}

/** @param {Studio} studio @param {Tab} tab */
function open(studio, tab) {
  const { tool } = studio.state;
  const fits = tab === "area" ? "area" : tool === "area" ? "points" : tool; // the brush paints what the panel is about
  studio.store.set({ tab, tool: fits });
}

/** Points, what may move, and how far and fast.
 * @param {Props} props */
function Drag({ studio }) {
  const { state } = studio;
  const draft = draftOf(state);
  const { limit, strength } = state.settings;
  const moves = mask(draft.paint);
  const share = moves ? moves.reduce((sum, value) => sum + value, 0) / moves.length : 1;
  return html`
    <div class="stack wide">
      <section class="stack">
        <div class="row">
          <h2 class="grow">Points</h2>
          ${
            draft.pairs.length > 0 &&
            !running(state) &&
            html`
              <button class="small" onClick=${() => studio.clearPoints()}>Remove all</button>
            `
          }
        </div>
        ${
          draft.pairs.length
            ? html`
                <ol class="points">
                  ${draft.pairs.map(
                    (pair, i) => html`
                      <${Row} key=${pair.id} studio=${studio} pair=${pair} number=${i + 1} />
                    `,
                  )}
                </ol>
              `
            : html`
                <p class="muted">
                  Press on the picture where something shall move from, drag to where it shall go, and press Start. Two
                  clicks do as well.
                </p>
              `
        }
        <div>
          <button
            class="plain small"
            disabled=${running(state) || !state.session}
            title="In the middle, to be moved by its numbers or the arrow keys"
            onClick=${() => addPoint(studio)}
          >
            ${icon("plus")}Add a point
          </button>
        </div>
      </section>
      <section class="stack">
        <div class="row">
          <h2 class="grow">What may move</h2>
          ${
            moves &&
            !running(state) &&
            html`
              <button class="small" onClick=${() => studio.clearPaint()}>Remove paint</button>
            `
          }
        </div>
        <p class="muted">
          ${moves ? `${Math.round(share * 100)} % of the picture; the hatched part stays.` : "Everything. Paint what must stay, or only what may move."}
        </p>
        <${ShapeByNumbers} studio=${studio} />
      </section>
      <section class="stack">
        <h2>How</h2>
        <label class="field">
          <span class="row">
            <span class="grow">Speed</span>
            <output class="muted">${["Careful", "Usual", "Quick", "Hasty"][strength - 1]}</output>
          </span>
          <input
            type="range"
            min="1"
            max="4"
            step="1"
            value=${strength}
            onInput=${num((strength) => studio.prefer({ strength }))}
          />
        </label>
        <label class="row">
          <span class="grow">Steps at most</span>
          <${NumberField}
            class="short"
            min="1"
            max="5000"
            value=${limit}
            use=${(/** @type {number} */ value) => value >= 1 && studio.prefer({ limit: Math.round(value) })}
          />
        </label>
      </section>
    </div>
  `;
}

/** A point that is moved by its numbers from the middle of the picture.
 * @param {Studio} studio */
function addPoint(studio) {
  const draft = draftOf(studio.state);
  const side = sideOf(studio.state);
  const at = Math.floor(side / 2);
  const pairs = points.add(draft.pairs, [at, at], side, [at, Math.max(0, at - Math.round(side / 16))]);
  studio.change({ ...draft, pairs }, "", `Point ${pairs.length} added in the middle.`);
}

/** @param {Props & {pair: points.Pair, number: number}} props */
function Row({ studio, pair, number }) {
  const side = sideOf(studio.state);
  const fixed = running(studio.state);
  /** @param {points.End} end @param {0 | 1} axis */
  const field = (end, axis) => {
    const at = pair[end];
    const set = (/** @type {number} */ value) => {
      const point = /** @type {points.Point} */ ([...(at ?? pair.from)]);
      point[axis] = value;
      const draft = draftOf(studio.state);
      studio.change({ ...draft, pairs: points.place(draft.pairs, pair.id, end, point, side) });
    };
    const words = `${end === "from" ? "Point" : "Target of point"} ${number}, ${axis ? "down" : "across"}`;
    return html`
      <${NumberField}
        aria-label=${words}
        min="0"
        max=${side - 1}
        step="any"
        disabled=${fixed}
        value=${at ? Math.round(at[axis] * 10) / 10 : ""}
        use=${set}
      />
    `;
  };
  return html`
    <li class="row">
      <span class="badge" aria-hidden="true">${number}</span>
      <span class="pair">${field("from", 0)}${field("from", 1)}</span>
      <span class="muted" aria-hidden="true">→</span>
      <span class="pair">${field("to", 0)}${field("to", 1)}</span>
      <button
        class="icon small"
        disabled=${fixed}
        aria-label=${`Remove point ${number}`}
        title="Remove"
        onClick=${() => studio.removePoint(pair.id)}
      >
        ${icon("close")}
      </button>
    </li>
  `;
}

/** Paint without a pointer: a rectangle or an ellipse by its corners.
 * @param {Props} props */
function ShapeByNumbers({ studio }) {
  const side = sideOf(studio.state);
  /** @param {SubmitEvent} event */
  const paint = (event) => {
    event.preventDefault();
    const data = new FormData(/** @type {HTMLFormElement} */ (event.target));
    const at = (/** @type {string} */ name) => Number(data.get(name));
    studio.paintShape(
      String(data.get("shape")),
      [at("left"), at("top")],
      [at("right"), at("bottom")],
      data.get("what") === "stay",
    );
  };
  const quarter = Math.round(side / 4);
  const start = { left: quarter, top: quarter, right: side - quarter, bottom: side - quarter };
  return html`
    <details>
      <summary>Paint by numbers</summary>
      <form class="stack" onSubmit=${paint}>
        <div class="row">
          <select name="shape" aria-label="Shape">
            <option value="ellipse">Ellipse</option>
            <option value="rectangle">Rectangle</option>
          </select>
          <select name="what" aria-label="What shall it do">
            <option value="move">May move</option>
            <option value="stay">Must stay</option>
          </select>
        </div>
        <div class="quad">
          ${Object.entries(start).map(
            ([name, value]) => html`
              <label class="field" key=${name}>
                ${name[0].toUpperCase() + name.slice(1)}
                <input type="number" name=${name} min="0" max=${side - 1} defaultValue=${value} />
              </label>
            `,
          )}
        </div>
        <div><button class="plain small" disabled=${running(studio.state)}>Paint</button></div>
      </form>
    </details>
  `;
}
