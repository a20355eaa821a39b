// Pointing at a part of the picture: which parts there are, and which of them is under a point.

import { unpack } from "./draft.js";
import { pieces } from "./paint.js";
import { present } from "./state.js";

/** @typedef {import("./paint.js").Layer} Layer */
/** @typedef {{name: string, layer: Layer, share: number}} Part  without a name: what is alike there */
/** @typedef {{of: string, list: Part[] | null}} Parts  `of` names the picture; null while it is being looked at */

/** The finest part at a point of a picture of `side` pixels.
 * @type {(list: Part[] | null, at: import("./geometry.js").Point, side: number) => Part | null} */
export function under(list, [x, y], side) {
  const [column, row] = [Math.round(x), Math.round(y)];
  if (!(column >= 0 && row >= 0 && column < side && row < side)) return null;
  return list?.find(({ layer }) => layer[row * side + column]) ?? null;
}

/** What a part is called, and how much of the picture it is.
 * @type {(part: Part) => string} */
export const called = ({ name, share }) => `${name ? sentenced(name) : "This area"}, ${percent(share)}`;

/** @type {(text: string) => string} */
const sentenced = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** A share of the picture, in words.
 * @type {(share: number) => string} */
export const percent = (share) => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;

/** @type {(layer: import("./paint.js").Layer) => number} */
const shareOf = (layer) => layer.reduce((sum, value) => sum + value, 0) / layer.length;

/** Whether parts are pointed at just now.
 * @type {(state: import("./state.js").State) => boolean} */
export const pointing = ({ tool, shape, session }) =>
  tool !== "points" && tool !== "own" && shape === "part" && !session?.run;

/** Which picture the parts must be of.
 * @type {(state: import("./state.js").State) => string} */
export const wanted = (state) => (pointing(state) ? `${state.session?.current}-${present(state)?.steps}` : "");

/** Ask for the parts of the present picture, unless they are known.
 * @param {import("./studio.js").Studio} studio */
export async function learn(studio) {
  const of = wanted(studio.state);
  if (!of || studio.state.link !== "open" || studio.state.parts.of === of) return;
  /** @param {Part[] | null} list */
  const set = (list) => studio.store.set({ parts: { of, list } });
  set(null);
  try {
    /** @type {{name: string, mask: import("./protocol").PackedMask}[]} */
    const found = await studio.ask("regions", {}, studio.state.session?.current);
    const list = found.flatMap(({ name, mask }) =>
      (name ? [unpack(mask)] : pieces(unpack(mask))).map((layer) => ({ name, layer, share: shareOf(layer) })),
    );
    if (studio.state.parts.of === of) set(list);
  } catch (error) {
    if (studio.state.parts.of !== of) return; // the answer is of no interest any more
    studio.store.set({ parts: { of: "", list: null }, shape: "brush" });
    studio.complain(/** @type {Error} */ (error).message);
  }
}
