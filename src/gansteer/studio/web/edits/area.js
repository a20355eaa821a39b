// A local change: an area, an attribute, how much; the rest of the picture stays.

import { pack, painted, unpack } from "../draft.js";
import { choice, Range } from "../controls.js";
import { icon } from "../icons.js";
import { showStage } from "../look.js";
import { useSliders } from "../attributes.js";
import { fill, FREE, isBlank } from "../paint.js";
import { lay, outline, Sheet, tinted } from "../sheet.js";
import { percent } from "../parts.js";
import { draftOf, present, running } from "../state.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { label, turned, unnamed } from "../words.js";

/** @typedef {import("../state.js").State} State */
/** @typedef {{name: string, amount: number}} Own  the attribute, and how much of it */

/** @type {(state: State) => Own} */
const own = (state) => state.own[area.tab];

/** @type {import("./index.js").Kind<Own>} */
export const area = {
  tab: "area",
  label: "Area",
  needs: "intervention",
  Panel,
  tool: "region",
  layer: "area",
  own: { name: "", amount: 2 },
  draft: { area: painted },
  files: ["mask"],
  title: turned,

  ready(state) {
    const { name, amount } = own(state);
    if (isBlank(draftOf(state).area)) return { ok: false, says: "Point at what is to change, or paint it." };
    if (!name || !amount) return { ok: false, says: "Choose an attribute, and how much of it." };
    return { ok: true, says: "The area is ready." };
  },

  toEdit(state) {
    const { name, amount } = own(state);
    const hold = state.locks.filter((one) => one !== name);
    return { kind: "intervention", change: { [name]: amount }, hold, region: pack(draftOf(state).area) };
  },

  fromEdit(edit, _last, _side, state) {
    const { change, hold, region } = /** @type {any} */ (edit);
    const [name, amount] = /** @type {[string, number]} */ (Object.entries(change)[0] ?? ["", 2]);
    return {
      draft: { area: unpack(region) },
      locks: [...new Set([...state.locks.filter((one) => one === name), ...hold])],
      own: { ...state.own, [area.tab]: { name, amount } },
    };
  },

  sheet: ({ studio, look }) => html`
    <${Painted} studio=${studio} look=${look} />
  `,
};

/** The area, outlined and tinted; only outlined where it is that of the edit that made the present picture, which must
 * not be hidden.
 * @param {Pick<import("./index.js").Drawing, "studio" | "look">} props */
function Painted({ studio, look }) {
  const { state } = studio;
  const { session } = state;
  const layer = draftOf(state).area;
  const made =
    session?.edit?.kind === area.needs && !state.trails[/** @type {number} */ (session.current)]?.past.length;
  /** @type {import("../sheet.js").Draw} */
  const draw = (context, place) => {
    if (!layer.includes(FREE)) return;
    if (!made) lay(context, layer, place, tinted);
    outline(context, layer, place);
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[layer, made]} opacity=${state.opacity * (running(state) ? 0.4 : 1)} />
  `;
}

/** @param {{studio: import("../studio.js").Studio}} props */
function Panel({ studio }) {
  const { state } = studio;
  const { tool, link } = state;
  const local = own(state);
  const sliders = useSliders(studio);
  const [parts, setParts] = useState(/** @type {string[]} */ ([]));
  const draft = draftOf(state);
  const model = present(state)?.model;
  useEffect(() => {
    if (link === "open" && state.welcome?.answers.includes("parts"))
      studio.ask("parts").then(setParts, () => setParts([]));
  }, [model, link]);
  /** @param {string} part */
  const take = async (part) => {
    studio.say(`Looking for the ${part}.`);
    try {
      const found = unpack(await studio.ask("region", { part }));
      const now = draftOf(studio.state);
      const side = Math.sqrt(found.length);
      studio.change(
        { ...now, area: fill(now.area, FREE, (x, y) => found[y * side + x] === 1) },
        "",
        `The ${part} is in the area.`,
      );
    } catch (error) {
      studio.complain(/** @type {Error} */ (error).message);
    }
  };
  /** @param {Partial<Own>} change */
  const set = (change) => studio.keepOwn(area, change);
  /** @param {Pick<import("../state.js").State, "shape">} change */
  const use = (change) => {
    studio.store.set({ tool: "region", ...change });
    showStage();
  };
  const fixed = running(state);
  const points = state.shape === "part";
  const missing = "Point at it, paint it, or take one of these:";
  const share = draft.area.reduce((sum, value) => sum + (value === FREE ? 1 : 0), 0) / Math.max(1, draft.area.length);
  const says = share ? `${percent(share)} of the picture. The rest stays as it is.` : missing;
  const known = sliders ?? [];
  const chosen = known.find((one) => one.name === local.name) ?? known[0];
  const options = (/** @type {typeof known} */ some) =>
    some.map(
      ({ name }) => html`
        <option key=${name} value=${name} selected=${name === chosen?.name}>${label(name)}</option>
      `,
    );
  useEffect(() => {
    if (chosen && chosen.name !== local.name) set({ name: chosen.name });
  }, [chosen?.name]);
  return html`
    <div class="stack wide">
      <section class="stack">
        <div class="row">
          <h2 class="grow">Area</h2>
          ${
            share > 0 &&
            !fixed &&
            html`
              <button class="small" onClick=${() => studio.clear("area", "The area is empty.")}>Remove</button>
            `
          }
        </div>
        <p class="muted">${says}</p>
        <div class="row wrap">
          ${parts.map(
            (part) => html`
              <button key=${part} class="plain small" disabled=${fixed} onClick=${() => take(part)}>
                ${label(part)}
              </button>
            `,
          )}
        </div>
        <div class="segmented" role="group" aria-label="How the area is made">
          <button aria-pressed=${tool === "region" && points} onClick=${() => use({ shape: "part" })}>
            ${icon("part")}Point
          </button>
          <button
            aria-pressed=${tool === "region" && !points}
            onClick=${() => use({ shape: points ? "brush" : state.shape })}
          >
            ${icon("free")}Paint
          </button>
          <button aria-pressed=${tool === "erase"} onClick=${() => studio.store.set({ tool: "erase" })}>
            ${icon("erase")}Erase
          </button>
        </div>
      </section>
      <section class="stack">
        <h2>Change</h2>
        ${
          sliders && !known.length
            ? html`
                <p class="muted">No attributes are known for this model yet.</p>
              `
            : html`
                <label class="field">
                  Attribute
                  <select disabled=${fixed} onChange=${choice((name) => set({ name }))}>
                    ${options(known.filter(({ name }) => !unnamed(name)))}
                    ${
                      known.some(({ name }) => unnamed(name)) &&
                      html`
                        <optgroup label="Without names">${options(known.filter(({ name }) => unnamed(name)))}</optgroup>
                      `
                    }
                  </select>
                </label>
                <${Range}
                  label="Amount"
                  shown=${`${local.amount > 0 ? "+" : ""}${local.amount.toFixed(1)}`.replace("-", "−")}
                  min="-4"
                  max="4"
                  step="0.1"
                  value=${local.amount}
                  disabled=${fixed}
                  use=${(/** @type {number} */ amount) => set({ amount })}
                />
                <p class="muted">Press Start below the picture. What is locked among the sliders is held.</p>
              `
        }
        <label class="check">
          <input
            type="checkbox"
            checked=${state.changes}
            onChange=${() => studio.store.set({ changes: !state.changes })}
          />
          Show where the picture changed
        </label>
      </section>
    </div>
  `;
}
