// A photo of one's own: chosen, dropped or pasted; rebuilt by the model while one looks on.

import { icon } from "./icons.js";
import { html } from "./vendor/preact.js";

/** @param {{studio: import("./studio.js").Studio}} props */
export function Photo({ studio }) {
  const { uploading, welcome } = studio.state;
  const most = welcome ? Math.round(welcome.upload_bytes / 2 ** 20) : 0;
  return html`<div class="stack wide">
    <h2>Photo</h2>
    <p class="muted">The face is found, turned upright, and rebuilt by the model; the picture shows how far it has come. Then it can be edited like any other.</p>
    <button class="drop" disabled=${uploading} onClick=${() => studio.choose()}>${icon("photo")}<span>${uploading ? "Opening …" : "Choose a photo, or drop one anywhere"}</span>
      <small class="muted">JPEG, PNG or WebP, ${most} MB at most. It stays on this machine.</small></button>
  </div>`;
}
