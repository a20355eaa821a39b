// What stands beside the picture while one arranges it: every blob by its numbers, and what can be done with it.

import { icon } from "../icons.js";
import { present, running, sideOf } from "../state.js";
import { NumberField } from "../typed.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { KIND } from "./arranging.js";
import { arrangerOf, layout, own } from "./layout.js";

/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {import("./arranging.js").Blob} Blob */

const NAMING = 600; // ms of rest before it is asked what the blobs draw

/** @param {{studio: Studio}} props */
export function Panel({ studio }) {
  const { state } = studio;
  const { heat, names } = own(state);
  const [missing, setMissing] = useState("");
  const arranger = arrangerOf(studio);
  const { session, notice, link } = state;
  const node = present(state);
  useEffect(() => arranger.told(), [session]);
  useEffect(() => {
    if (notice?.kind === "bad") arranger.refused();
  }, [notice]);
  useEffect(() => {
    if (link !== "open") arranger.refused(); // what was on its way will not be answered
  }, [link]);
  const asks = link === "open" && arranger.stale;
  useEffect(() => {
    const current = studio.state.session?.current;
    if (!asks || current == null) return undefined;
    let here = true;
    studio.ask("layout", {}, current).then(
      (blobs) => {
        if (!here || studio.state.session?.current !== current) return;
        setMissing("");
        arranger.learn(current, blobs);
      },
      (/** @type {Error} */ error) => {
        if (!here) return;
        setMissing(error.message);
        arranger.refused();
      },
    );
    return () => {
      here = false;
    };
  }, [asks, session?.current, session?.run, own(state).known]);
  useNames(studio);

  if (missing)
    return html`
      <p class="muted">${missing}</p>
    `;
  const blobs = arranger.blobs;
  const fixed = running(state) && !arranger.busy;
  const middle = Math.floor(sideOf(state) / 2);
  return html`
    <div class="stack wide">
      <section class="stack">
        <h2>Blobs</h2>
        <p class="muted">
          Drag a blob and what it draws follows. The handle at its rim, the wheel, two fingers or + and − make it larger
          or smaller; a double click adds one.
        </p>
        <ol class="blobs">
          ${blobs.map(
            (blob, id) => html`
              <${Row} key=${id} studio=${studio} blob=${blob} id=${id} name=${names[id] ?? null} fixed=${fixed} />
            `,
          )}
        </ol>
        ${
          !blobs.length &&
          arranger.known &&
          html`
            <p class="muted">This picture has no blobs yet.</p>
          `
        }
        <div>
          <button
            class="plain small"
            disabled=${fixed || !arranger.known}
            title="In the middle, to be moved by its numbers or the arrow keys"
            onClick=${() => arranger.add([middle, middle])}
          >
            ${icon("plus")}Add a blob
          </button>
        </div>
      </section>
      <section class="stack">
        <label class="check">
          <input type="checkbox" checked=${heat} onChange=${() => studio.keepOwn(layout, { heat: !heat })} />
          Show the heatmaps
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked=${state.changes}
            onChange=${() => studio.store.set({ changes: !state.changes })}
          />
          Show where the picture changed
        </label>
        ${
          node &&
          html`
            <p class="muted">Then drag points or turn sliders: they go on from here.</p>
          `
        }
      </section>
    </div>
  `;
}

/** Ask what each blob draws, once a picture has been there for a while.
 * @param {Studio} studio */
function useNames(studio) {
  const { state } = studio;
  const { known } = own(state);
  const rests = known && !known.change && known.node === state.session?.current && !state.session?.run;
  const node = rests ? known.node : null;
  useEffect(() => {
    if (node == null) return undefined;
    const timer = setTimeout(() => {
      studio.ask("things", {}, node).then(
        (names) => own(studio.state).known?.node === node && studio.keepOwn(layout, { names }),
        () => {}, // another question took its place
      );
    }, NAMING);
    return () => clearTimeout(timer);
  }, [node]);
}

/** @param {{studio: Studio, blob: Blob, id: number, name: string | null, fixed: boolean}} props */
function Row({ studio, blob, id, name, fixed }) {
  const arranger = arrangerOf(studio);
  const side = sideOf(studio.state);
  const { chosen } = own(studio.state);
  const edit = /** @type {any} */ (studio.state.session?.edit);
  const diced = edit?.kind === KIND && edit.restyles?.[id] != null;
  const off = fixed || !blob.there;
  /** @param {0 | 1} axis */
  const place = (axis) => html`
    <${NumberField}
      aria-label=${`Blob ${id}, ${axis ? "down" : "across"}`}
      step="any"
      min=${-side}
      max=${2 * side}
      disabled=${off}
      value=${Math.round((axis ? blob.y : blob.x) * 10) / 10}
      use=${(/** @type {number} */ value) => arranger.place(id, axis, value)}
    />
  `;
  return html`
    <li class=${id === chosen ? "stack chosen" : "stack"}>
      <div class="row">
        <span class=${blob.there ? "badge" : "badge hidden"} aria-hidden="true">${id}</span>
        <span class=${blob.there ? "grow" : "grow muted"}>${name ?? (blob.there ? "Blob" : "Hidden")}</span>
        <button
          class="icon small"
          disabled=${off}
          aria-label=${`Another style for blob ${id}`}
          title="Another style"
          onClick=${() => arranger.restyle(id)}
        >
          ${icon("dice")}
        </button>
        <button
          class="icon small"
          disabled=${off || !diced}
          aria-label=${`Back to the style that blob ${id} had`}
          title="Back to the style before"
          onClick=${() => studio.send({ type: "undo" })}
        >
          ${icon("undo")}
        </button>
        <button
          class="icon small"
          disabled=${fixed}
          aria-pressed=${!blob.there}
          aria-label=${blob.there ? `Hide blob ${id}` : `Show blob ${id}`}
          title=${blob.there ? "Hide" : "Show"}
          onClick=${() => arranger.show(id, !blob.there)}
        >
          ${icon("eye")}
        </button>
        <button
          class="icon small"
          disabled=${off}
          aria-label=${`Another one like blob ${id}`}
          title="Duplicate"
          onClick=${() => arranger.duplicate(id)}
        >
          ${icon("copy")}
        </button>
        <button
          class="icon small"
          disabled=${fixed}
          aria-label=${`Delete blob ${id}`}
          title="Delete"
          onClick=${() => arranger.remove(id)}
        >
          ${icon("trash")}
        </button>
      </div>
      <div class="row">
        <span class="pair">${place(0)}${place(1)}</span>
        <label class="row slim">
          <span class="muted">Size</span>
          <${NumberField}
            class="short"
            aria-label=${`Blob ${id}, size`}
            step="any"
            min="1"
            max=${side}
            disabled=${off}
            value=${Math.round(blob.size * 10) / 10}
            use=${(/** @type {number} */ value) => value > 0 && arranger.resize(id, value / blob.size)}
          />
        </label>
      </div>
    </li>
  `;
}
