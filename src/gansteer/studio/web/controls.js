// Small parts that many places are made of: buttons whose action has a hot key, and numbers that sliders give.

import { ACTIONS } from "./actions.js";
import { icon } from "./icons.js";
import { KEYS, shown } from "./keys.js";
import { html } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {import("./icons.js").Glyph} Glyph */

/** Whether this is a machine with a command key. */
export const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** The tip of a button whose action has a hot key.
 * @type {(what: string, action: string) => string} */
export function tip(what, action) {
  const key = KEYS.find((one) => one.action === action);
  return key ? `${what} (${shown(key.keys[0], MAC).join(MAC ? "" : " ")})` : what;
}

/** A button that does what its hot key does.
 * @param {{studio: Studio, action: string, what: string, glyph: Glyph, disabled?: boolean}} props */
export function Act({ studio, action, what, glyph, disabled }) {
  return html`
    <button
      class="icon"
      title=${tip(what, action)}
      aria-label=${what}
      disabled=${disabled}
      onClick=${() => ACTIONS[action](studio)}
    >
      ${icon(glyph)}
    </button>
  `;
}

/** Hands on the number of a slider that is moved.
 * @type {(use: (value: number) => void) => (event: InputEvent) => void} */
export const num = (use) => (event) => use(/** @type {HTMLInputElement} */ (event.target).valueAsNumber);

/** A slider with its name and what it is at. The name is the input's own: a label takes the first control in it, and an
 * output is one.
 * @param {{label: string, shown: string, use: (value: number) => void, [attribute: string]: any}} props */
export const Range = ({ label, shown, use, ...attributes }) => html`
  <div class="field">
    <span class="row" aria-hidden="true">
      <span class="grow">${label}</span>
      <span class="muted number">${shown}</span>
    </span>
    <input type="range" aria-label=${label} aria-valuetext=${shown} ...${attributes} onInput=${num(use)} />
  </div>
`;

/** Hands on what is chosen of a list.
 * @type {(use: (value: string) => void) => (event: Event) => void} */
export const choice = (use) => (event) => use(/** @type {HTMLSelectElement} */ (event.target).value);

/** How much of something is done, 0 to 1.
 * @param {{label: string, share: number}} props */
export const Meter = ({ label, share }) => html`
  <div
    class="grow"
    role="progressbar"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(100 * share)}
  >
    <div class="meter"><span style=${{ transform: `scaleX(${share})` }}></span></div>
  </div>
`;
