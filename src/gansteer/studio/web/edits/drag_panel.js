// What stands beside the picture while one drags: the points by numbers, what may move, how far and how fast.

import { choice, Range } from "../controls.js";
import { icon } from "../icons.js";
import { ellipse, fill, FREE, HELD, mask, rectangle } from "../paint.js";
import { percent } from "../parts.js";
import * as points from "../points.js";
import { draftOf, present, running, sideOf } from "../state.js";
import { NumberField } from "../typed.js";
import { html } from "../vendor/preact.js";
import { CHOICES, FIELDS, FREEDOMS, rated, withNumber } from "./drag_how.js";

/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */

const OTHERS = [0, 1, 2, 3, 4, 5]; // the gallery has more
const EVERYTHING = "Everything. Paint what must stay, or only what may move.";

/** Points, what may move, and how far and fast.
 * @param {Props} props */
export function Panel({ studio }) {
  const { state } = studio;
  const draft = draftOf(state);
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
              <button class="small" onClick=${() => studio.clear("pairs", "All points removed.")}>Remove all</button>
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
                  Press on the picture where something is, drag to where it should go, and press Start. Two clicks do as
                  well.
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
              <button class="small" onClick=${() => studio.clear("paint", "Everything may move.")}>Remove paint</button>
            `
          }
        </div>
        <p class="muted">${moves ? `${percent(share)} of the picture; the hatched part stays.` : EVERYTHING}</p>
        <${ShapeByNumbers} studio=${studio} />
      </section>
      <${How} studio=${studio} />
      ${
        state.session?.nodes.length === 1 &&
        !draft.pairs.length &&
        html`
          <${Others} studio=${studio} />
        `
      }
    </div>
  `;
}

/** While there is one picture and nothing prepared on it: a few to begin with instead.
 * @param {Props} props */
function Others({ studio }) {
  const model = present(studio.state)?.model ?? "";
  const psi = studio.state.settings.spread;
  return html`
    <section class="stack">
      <h2>Or begin with another picture</h2>
      <ul class="tiles">
        ${OTHERS.map(
          (seed) => html`
            <li class="tile" key=${seed}>
              <button class="show" aria-label=${`Picture ${seed}`} onClick=${() => studio.sample(seed)}>
                <img
                  alt=""
                  width="96"
                  height="96"
                  loading="lazy"
                  draggable=${false}
                  src=${studio.wire.file(`seed/${seed}`, { model, psi, size: 96 })}
                />
              </button>
            </li>
          `,
        )}
      </ul>
    </section>
  `;
}

/** How faithful, how free; and the numbers, folded away.
 * @param {Props} props */
function How({ studio }) {
  const { limit, strength, freedom, numbers } = studio.state.settings;
  const chosen = /** @type {import("./drag_how.js").Freedom} */ (freedom);
  /** @param {string} name @param {string | number | null} value */
  const set = (name, value) => studio.prefer({ numbers: withNumber(numbers, name, value) });
  return html`
    <section class="stack">
      <h2>How free</h2>
      <div class="segmented" role="group" aria-label="How faithful, how free">
        ${Object.entries(FREEDOMS).map(
          ([name, { label }]) => html`
            <button
              key=${name}
              aria-pressed=${name === chosen}
              onClick=${() => studio.prefer({ freedom: /** @type {any} */ (name) })}
            >
              ${label}
            </button>
          `,
        )}
      </div>
      <p class="muted">${FREEDOMS[chosen].says}</p>
      <details>
        <summary>Advanced${Object.keys(numbers).length > 0 && " · changed"}</summary>
        <div class="stack">
          ${
            rated(numbers) &&
            html`
              <${Range}
                label="Speed"
                shown=${["Careful", "Usual", "Quick", "Hasty"][strength - 1]}
                min="1"
                max="4"
                step="1"
                value=${strength}
                use=${(/** @type {number} */ value) => studio.prefer({ strength: value })}
              />
            `
          }
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
          ${Object.entries(CHOICES).map(
            ([name, { label, options }]) => html`
              <label class="field" key=${name}>
                ${label}
                <select onChange=${choice((value) => set(name, value))}>
                  ${options.map(
                    ([value, words]) => html`
                      <option value=${value} selected=${(numbers[name] ?? options[0][0]) === value}>${words}</option>
                    `,
                  )}
                </select>
              </label>
            `,
          )}
          ${Object.entries(FIELDS).map(
            ([name, { label, min, max }]) => html`
              <label class="row" key=${name}>
                <span class="grow">${label}</span>
                <${NumberField}
                  class="short"
                  min=${min}
                  max=${max}
                  step="any"
                  placeholder="usual"
                  value=${numbers[name] ?? ""}
                  use=${(/** @type {number} */ value) => set(name, Math.min(max, Math.max(min, value)))}
                  clear=${() => set(name, null)}
                />
              </label>
            `,
          )}
          ${
            Object.keys(numbers).length > 0 &&
            html`
              <div>
                <button class="plain small" onClick=${() => studio.prefer({ numbers: {} })}>As usual again</button>
              </div>
            `
          }
        </div>
      </details>
    </section>
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
  const remove = () => {
    const draft = draftOf(studio.state);
    studio.change({ ...draft, pairs: points.remove(draft.pairs, pair.id) }, "", "Point removed.");
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
        onClick=${remove}
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
    /** @type {[points.Point, points.Point]} */
    const [from, to] = [
      [at("left"), at("top")],
      [at("right"), at("bottom")],
    ];
    const where = data.get("shape") === "ellipse" ? ellipse(from, to) : rectangle(from, to);
    const draft = draftOf(studio.state);
    const value = data.get("what") === "stay" ? HELD : FREE;
    studio.change({ ...draft, paint: fill(draft.paint, value, where) }, "", "Painted.");
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
          <select name="what" aria-label="What it does">
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
