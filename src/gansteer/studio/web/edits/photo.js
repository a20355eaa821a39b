// A photo of one's own: chosen, dropped or pasted; rebuilt by the model while one looks on; put back in the end.

import { icon } from "../icons.js";
import { photoIn, putBack } from "../photos.js";
import { running } from "../state.js";
import { html } from "../vendor/preact.js";
import { duration, ending } from "../words.js";

/** @typedef {import("../studio.js").Studio} Studio */

/** @type {import("./index.js").Kind} */
export const photo = {
  tab: "photo",
  label: "Photo",
  needs: "inversion",
  Panel,
  beneath: (node) => ({ path: `photo/${node.id}`, title: "the photo" }),
  readout(state, { step, metrics, stage }) {
    const { projection, tuning, tuning_steps: more } = /** @type {any} */ (state.session?.run?.edit);
    const steps = projection + (tuning === "none" ? 0 : more);
    /** @type {[string, string][]} */
    const facts = [];
    if (stage) facts.push(["Now", stage]);
    if (metrics?.psnr != null) facts.push(["Alike", `${metrics.psnr.toFixed(1)} dB`]);
    if (step > 4) facts.push(["Left", `about ${duration(left(state.traces) * (steps - step))}`]);
    return { steps, share: step / steps, facts };
  },
};

const LATELY = 20; // steps

/** Seconds that a step takes of late: a guess that is corrected as it goes on.
 * @type {(traces: import("../protocol").StepRecord[]) => number} */
function left(traces) {
  const last = traces[traces.length - 1];
  const before = traces.findLast(({ step }) => step <= last.step - LATELY) ?? traces[0];
  return (last.seconds - before.seconds) / Math.max(1, last.step - before.step);
}

/** @param {{studio: Studio}} props */
function Panel({ studio }) {
  const { uploading, welcome } = studio.state;
  const most = welcome ? Math.round(welcome.upload_bytes / 2 ** 20) : 0;
  return html`
    <div class="stack wide">
      <${Mine} studio=${studio} />
      <section class="stack">
        <h2>${photoIn(studio.state) ? "Another photo" : "Photo"}</h2>
        <p class="muted">
          The face is found and rebuilt by the model while you look on. Then it can be edited like any other picture,
          and put back into the photo.
        </p>
        <button class="drop" disabled=${uploading} onClick=${() => studio.choose()}>
          ${icon("photo")}
          <span>${uploading ? "One moment …" : "Choose a photo, or drop one anywhere"}</span>
          <small class="muted">
            JPEG, PNG, WebP or HEIC, ${most} MB at most. ${local() ? "It stays on this machine." : ""}
          </small>
        </button>
      </section>
    </div>
  `;
}

/** Whether the studio is this machine's own. */
const local = () => ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

/** The photo that the present picture began with.
 * @param {{studio: Studio}} props */
function Mine({ studio }) {
  const { session } = studio.state;
  const node = photoIn(studio.state);
  if (!node || !session) return null;
  const runs = session.run?.node === node.id;
  const words = runs
    ? "It is being rebuilt. Stop as soon as it is good enough: what was reached stays."
    : session.current !== node.id
      ? "The present picture began with this part of it."
      : session.ended
        ? `${ending(session.ended)} It can be dragged and turned like any other.`
        : "Stopped. Edit it as it is, or press Go on below the picture.";
  return html`
    <section class="stack">
      <h2>Your photo</h2>
      <div class="row top">
        <img
          class="small-picture"
          alt="The part of the photo that was taken"
          width="112"
          height="112"
          src=${studio.wire.file(`photo/${node.id}`)}
        />
        <p class="grow muted">${words}</p>
      </div>
      <div>
        <button class="plain" disabled=${running(studio.state)} onClick=${() => putBack(studio, "jpeg")}>
          ${icon("download")}Put it back, and save the whole photo
        </button>
      </div>
    </section>
  `;
}
