// Photos: brought in, found again in the browser's store, and put back with what became of them.

import { download } from "./saving.js";
import { written } from "./crop.js";
import { keepPhoto, photoOf } from "./keeping.js";
import { showStage } from "./look.js";
import { present } from "./state.js";

/** @typedef {import("./studio.js").Studio} Studio */

/** The entry of the history that brought in the photo that the present picture began with.
 * @type {(state: import("./state.js").State) => import("./protocol").NodeInfo | undefined} */
export function photoIn(state) {
  let node = present(state);
  const nodes = new Map(state.session?.nodes.map((one) => [one.id, one]));
  const photo = (/** @type {string} */ kind) => state.kinds.some(({ needs, beneath }) => needs === kind && beneath);
  while (node && !photo(node.kind)) node = nodes.get(node.parent ?? 0);
  return node;
}

/** Have the studio rebuild what was chosen of a photo.
 * @param {Studio} studio @param {File} file @param {import("./crop.js").Crop} crop @param {string} tuning */
export async function bring(studio, file, crop, tuning) {
  studio.store.set({ uploading: true, tab: "photo", tool: "points" });
  showStage();
  try {
    const told = await studio.wire.upload(file, { crop: written(crop), tuning });
    if (told.type === "received") await keepPhoto(studio.wire.session, told.node, file);
  } catch (error) {
    studio.complain(/** @type {Error} */ (error).message);
  }
  studio.store.set({ uploading: false });
}

/** Save the whole photo with the present picture in it.
 * @param {Studio} studio @param {"jpeg" | "png"} kind */
export async function putBack(studio, kind) {
  const node = photoIn(studio.state);
  if (!node) return;
  const file = (await photoOf(studio.wire.session, node.id)) ?? (await chosen("image/*"));
  if (!file) return;
  studio.say("Putting it back into the photo.");
  const where = studio.wire.file(`paste/${studio.state.session?.current}`, { kind });
  await download(studio, await fetch(where, { method: "POST", body: file }).catch(() => null), `photo.${kind}`);
}

/** A file that the person chooses, or null.
 * @param {string} accept @returns {Promise<File | null>} */
export function chosen(accept) {
  const input = document.createElement("input");
  input.type = "file";
  input.accept = accept;
  return new Promise((done) => {
    input.onchange = () => done(input.files?.[0] ?? null);
    input.oncancel = () => done(null);
    input.click();
  });
}
