// What can be kept of the work on a picture: one list, a size where there is a choice, and one button.

import { choice, Meter } from "./controls.js";
import { photoIn, putBack } from "./photos.js";
import { sideOf } from "./state.js";
import { html, useRef, useState } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */
/** @typedef {{what: string, label: string, says: string}} File */

/** What can be kept, in a person's order and words.
 * @type {File[]} */
const FILES = [
  { what: "png", label: "Picture, PNG", says: "with all that made it: drop it here to go on" },
  { what: "jpeg", label: "Picture, JPEG", says: "to show" },
  { what: "mp4", label: "Film of the edit, MP4", says: "for other programs" },
  { what: "webp", label: "Film of the edit, WebP", says: "small, for web pages" },
  { what: "gif", label: "Film of the edit, GIF", says: "opens everywhere, 256 colours" },
  { what: "photo-jpeg", label: "The whole photo, JPEG", says: "with this picture put back into it" },
  { what: "photo-png", label: "The whole photo, PNG", says: "with this picture put back into it" },
  { what: "mask", label: "What may change, PNG", says: "white may" },
  { what: "points", label: "Points, JSON", says: "handles, targets and where they were" },
  { what: "latent", label: "Latent vector, safetensors", says: "for programs" },
  { what: "steer", label: "Session, .steer", says: "the whole history, to be opened again" },
  { what: "python", label: "Python", says: "the way to this picture as a script" },
  { what: "shell", label: "Command line", says: "the last edit as commands" },
];
const FILMS = ["mp4", "webp", "gif"]; // only an edit has one
const SPECIAL = ["mask", "points"]; // only some kinds of edits have these
const SIZED = ["png", "jpeg", ...FILMS];
const SIDES = [256, 512, 1024];

/** The files that there can be of the present picture.
 * @type {(studio: Studio) => File[]} */
function possible({ state }) {
  const known = state.welcome?.exports ?? {};
  const edit = state.session?.edit;
  const special = state.kinds.find(({ needs }) => needs === edit?.kind)?.files ?? [];
  return FILES.filter(({ what }) => {
    if (what.startsWith("photo-")) return photoIn(state) != null;
    if (what === "mask" && edit?.mask == null && edit?.region == null) return false;
    return what in known && (!FILMS.includes(what) || edit) && (!SPECIAL.includes(what) || special.includes(what));
  });
}

/** @param {Props} props */
export function Export({ studio }) {
  const { session, exporting } = studio.state;
  const [what, setWhat] = useState("png");
  const [size, setSize] = useState(0);
  const [marks, setMarks] = useState(true);
  const [busy, setBusy] = useState(false);
  if (session?.current == null)
    return html`
      <p>There is no picture yet.</p>
    `;
  if (session.run)
    return html`
      <p>Stop the edit first; then what it has reached can be exported.</p>
    `;
  const files = possible(studio);
  const chosen = files.find((file) => file.what === what) ?? files[0];
  const film = FILMS.includes(chosen.what);
  const own = sideOf(studio.state);
  const save = async () => {
    setBusy(true);
    if (chosen.what.startsWith("photo-")) await putBack(studio, chosen.what === "photo-png" ? "png" : "jpeg");
    else await studio.save(chosen.what, { ...(film ? { marks: marks ? 1 : 0 } : {}), ...(size ? { size } : {}) });
    setBusy(false);
  };
  const done = exporting ? exporting.done / exporting.of : 0;
  return html`
    <fieldset class="files" disabled=${busy}>
      <legend class="unseen">What to export</legend>
      ${files.map(
        (file) => html`
          <label class="check" key=${file.what}>
            <input
              type="radio"
              name="what"
              value=${file.what}
              checked=${file === chosen}
              onChange=${() => setWhat(file.what)}
            />
            <span class="grow">${file.label}</span>
            <small class="muted">${file.says}</small>
          </label>
        `,
      )}
    </fieldset>
    ${
      SIZED.includes(chosen.what) &&
      html`
        <label class="field">
          Size
          <select disabled=${busy} onChange=${choice((side) => setSize(Number(side)))}>
            <option value="0" selected=${size === 0}>${`${own} × ${own} px, as the model draws it`}</option>
            ${SIDES.filter((side) => side > own).map(
              (side) => html`
                <option key=${side} value=${side} selected=${size === side}>
                  ${`${side} × ${side} px, enlarged: no more detail`}
                </option>
              `,
            )}
          </select>
        </label>
      `
    }
    ${
      film &&
      html`
        <label class="check">
          <input type="checkbox" checked=${marks} disabled=${busy} onChange=${() => setMarks(!marks)} />
          With points and arrows
        </label>
      `
    }
    <div class="row begin">
      <button class="primary" disabled=${busy} onClick=${save}>${busy ? "One moment …" : "Export"}</button>
      ${
        busy &&
        html`
          <button class="plain" onClick=${() => studio.unsave()}>Cancel</button>
        `
      }
      ${
        busy &&
        film &&
        html`
          <${Meter} label="The film" share=${done} />
        `
      }
    </div>
    ${
      ["python", "shell"].includes(chosen.what) &&
      html`
        <${Code} key=${chosen.what} studio=${studio} what=${chosen.what} title=${chosen.label} />
      `
    }
  `;
}

/** The edit as text, to be copied.
 * @param {Props & {what: string, title: string}} props */
function Code({ studio, what, title }) {
  const [text, setText] = useState("");
  const [copied, setCopied] = useState(false);
  /** @type {import("./vendor/preact.js").Ref<HTMLTextAreaElement>} */
  const area = useRef(null);
  const show = async () => setText(await studio.text(what));
  const copy = async () => {
    area.current.select();
    await navigator.clipboard.writeText(text).catch(() => document.execCommand("copy"));
    setCopied(true);
  };
  if (!text)
    return html`
      <div><button class="plain" onClick=${show}>Show as ${title}</button></div>
    `;
  return html`
    <div class="stack">
      <textarea readonly rows="6" aria-label=${title} ref=${area} value=${text}></textarea>
      <div class="row">
        <button class="plain" onClick=${copy}>${copied ? "Copied" : "Copy"}</button>
        <button onClick=${() => studio.save(what)}>Save as a file</button>
      </div>
    </div>
  `;
}
