// What a person has prepared on a picture and not yet started: points and paint. Pure.

import { blank, fromMask, mask } from "./paint.js";
import { carried, complete } from "./points.js";

/** @typedef {import("./protocol").Edit} Edit */
/** @typedef {import("./protocol").PackedMask} PackedMask */
/** @typedef {import("./points.js").Pair} Pair */
/** @typedef {import("./points.js").Point} Point */
/** @typedef {import("./paint.js").Layer} Layer */
/**
 * @typedef {object} Draft
 * @property {Pair[]} pairs
 * @property {Layer} paint  what may move and what must stay
 * @property {Layer} area  the area of a local change: FREE or nothing
 */

/** @type {(side: number) => Draft} */
export const empty = (side) => ({ pairs: [], paint: blank(side), area: blank(side) });

/** @type {(bytes: Uint8Array) => string} */
const toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};

/** @type {(text: string) => Uint8Array<ArrayBuffer>} */
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** One bit a pixel, the first in the highest bit.
 * @type {(layer: Layer) => PackedMask} */
export function pack(layer) {
  const side = Math.sqrt(layer.length);
  const bytes = new Uint8Array(Math.ceil(layer.length / 8));
  layer.forEach((value, i) => {
    if (value) bytes[i >> 3] |= 128 >> (i & 7);
  });
  return { shape: [side, side], packed: toBase64(bytes) };
}

/** @type {(mask: PackedMask) => Layer} */
export function unpack({ shape, packed }) {
  const bytes = fromBase64(packed);
  return new Uint8Array(shape[0] * shape[1]).map((_, i) => (bytes[i >> 3] >> (7 - (i & 7))) & 1);
}

/** The drag that the draft asks for, with the person's choices.
 * @type {(draft: Draft, choices: Record<string, unknown>) => Edit} */
export function toDrag(draft, choices) {
  const pairs = complete(draft.pairs);
  const moves = mask(draft.paint);
  return {
    kind: "drag",
    handles: pairs.map((pair) => pair.from),
    targets: pairs.map((pair) => pair.to),
    ...(moves ? { mask: pack(moves) } : {}),
    ...choices,
  };
}

/** The draft to go on with after a drag whose handles are now at `handles`.
 * @type {(edit: Edit, handles: Point[] | null, side: number) => Draft} */
export function fromDrag(edit, handles, side) {
  const { handles: from, targets, mask: moves } = /** @type {any} */ (edit);
  /** @type {Pair[]} */
  const pairs = from.map((/** @type {Point} */ point, /** @type {number} */ i) => ({
    id: i + 1,
    from: point,
    to: targets[i],
  }));
  return {
    pairs: handles ? carried(pairs, handles, side) : pairs,
    paint: fromMask(moves ? unpack(moves) : null, side),
    area: blank(side),
  };
}

/** For the browser's storage.
 * @type {(draft: Draft) => string} */
export const toText = ({ pairs, paint, area }) =>
  JSON.stringify({ pairs, paint: toBase64(paint), area: toBase64(area) });

/** Null for what is no draft of a picture of `side` pixels.
 * @type {(text: string | null, side: number) => Draft | null} */
export function fromText(text, side) {
  try {
    const { pairs, paint, area } = JSON.parse(text ?? "");
    const draft = { pairs, paint: fromBase64(paint), area: fromBase64(area) };
    return draft.paint.length === side * side && draft.area.length === side * side ? draft : null;
  } catch {
    return null;
  }
}
