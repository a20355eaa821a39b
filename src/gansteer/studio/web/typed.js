// A number that is typed. What stands in the field while somebody types there is theirs, whatever redraws the page.

import { html, useState } from "./vendor/preact.js";

/** A field; `use` gets the number when it is done, and `clear` is called where it was emptied.
 * @param {{value: number | string, use: (value: number) => void, clear?: () => void,
 *   [attribute: string]: any}} props */
export function NumberField({ value, use, clear, ...attributes }) {
  const [text, setText] = useState(/** @type {string | null} */ (null));
  /** @param {Event} event */
  const done = (event) => {
    const { valueAsNumber, value: typed } = /** @type {HTMLInputElement} */ (event.target);
    setText(null);
    if (!Number.isNaN(valueAsNumber)) use(valueAsNumber);
    else if (typed === "") clear?.();
  };
  return html`
    <input
      type="number"
      ...${attributes}
      value=${text ?? value}
      onChange=${done}
      onBlur=${() => setText(null)}
      onInput=${(/** @type {Event} */ event) => setText(/** @type {HTMLInputElement} */ (event.target).value)}
    />
  `;
}
