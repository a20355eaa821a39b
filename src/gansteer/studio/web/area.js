// A local change: an area, an attribute, how much; the rest of the picture stays.

import { unpack } from "./draft.js";
import { icon } from "./icons.js";
import { showStage } from "./look.js";
import { fill, FREE } from "./paint.js";
import { useSliders } from "./sliders.js";
import { draftOf, running } from "./state.js";
import { html, useEffect, useState } from "./vendor/preact.js";
import { label, unnamed } from "./words.js";

/** @param {{studio: import("./studio.js").Studio}} props */
export function Area({ studio }) {
  const { state } = studio;
  const { local, tool, link } = state;
  const sliders = useSliders(studio);
  const [parts, setParts] = useState(/** @type {string[]} */ ([]));
  const draft = draftOf(state);
  const model = state.session?.nodes.find((node) => node.id === state.session?.current)?.model;
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
  /** @param {Partial<typeof local>} change */
  const set = (change) => studio.store.set({ local: { ...local, ...change } });
  /** @param {Pick<import("./state.js").State, "shape">} change */
  const use = (change) => {
    studio.store.set({ tool: "area", ...change });
    showStage();
  };
  const fixed = running(state);
  const points = state.shape === "part";
  const share = draft.area.reduce((sum, value) => sum + (value === FREE ? 1 : 0), 0) / Math.max(1, draft.area.length);
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
              <button class="small" onClick=${() => studio.clearArea()}>Remove</button>
            `
          }
        </div>
        <p class="muted">
          ${share ? `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} % of the picture. The rest stays as it is.` : "Point at it, paint it, or take one of these:"}
        </p>
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
          <button aria-pressed=${tool === "area" && points} onClick=${() => use({ shape: "part" })}>
            ${icon("part")}Point
          </button>
          <button
            aria-pressed=${tool === "area" && !points}
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
                  <select
                    disabled=${fixed}
                    onChange=${(/** @type {Event} */ event) => set({ name: /** @type {HTMLSelectElement} */ (event.target).value })}
                  >
                    ${options(known.filter(({ name }) => !unnamed(name)))}
                    ${
                      known.some(({ name }) => unnamed(name)) &&
                      html`
                        <optgroup label="Without names">${options(known.filter(({ name }) => unnamed(name)))}</optgroup>
                      `
                    }
                  </select>
                </label>
                <label class="field">
                  <span class="row">
                    <span class="grow">How much</span>
                    <output class="muted number">${local.amount > 0 ? "+" : ""}${local.amount.toFixed(1)}</output>
                  </span>
                  <input
                    type="range"
                    min="-4"
                    max="4"
                    step="0.1"
                    value=${local.amount}
                    disabled=${fixed}
                    onInput=${(/** @type {Event} */ event) => set({ amount: /** @type {HTMLInputElement} */ (event.target).valueAsNumber })}
                  />
                </label>
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
