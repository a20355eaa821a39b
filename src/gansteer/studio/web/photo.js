// A photo of one's own: chosen, dropped or pasted; rebuilt by the model while one looks on.

import { icon } from "./icons.js";
import { html } from "./vendor/preact.js";

/** @type {{words: string, face: Record<string, string>}[]} */
const FACES = [
  { words: "The largest face", face: {} },
  { words: "The second face", face: { face: "2" } },
  { words: "The third face", face: { face: "3" } },
  { words: "The whole picture", face: { whole: "1" } },
];

/** @param {{studio: import("./studio.js").Studio}} props */
export function Photo({ studio }) {
  const { uploading, welcome, face, photo } = studio.state;
  /** @param {Event} event */
  const choose = (event) => studio.store.set({ face: FACES[Number(/** @type {HTMLSelectElement} */ (event.target).value)].face });
  const most = welcome ? Math.round(welcome.upload_bytes / 2 ** 20) : 0;
  return html`<div class="stack wide">
    <h2>Photo</h2>
    <p class="muted">The face is found, turned upright, and rebuilt by the model; the picture shows how far it has come. Then it can be edited like any other.</p>
    <label class="field">What to take<select onChange=${choose}>
      ${FACES.map((one, i) => html`<option key=${one.words} value=${String(i)} selected=${JSON.stringify(one.face) === JSON.stringify(face)}>${one.words}</option>`)}</select></label>
    <button class="drop" disabled=${uploading} onClick=${() => studio.choose()}>${icon("photo")}<span>${uploading ? "Opening …" : "Choose a photo, or drop one anywhere"}</span>
      <small class="muted">JPEG, PNG or WebP, ${most} MB at most. It stays on this machine.</small></button>
    ${photo && html`<p role="status">${photo}</p>`}
  </div>`;
}
