// What a person has prepared on a picture and not yet started: points, paint and whatever else the kinds of edits say.
// Pure.

/** @typedef {import("./protocol").PackedMask} PackedMask */
/** @typedef {import("./points.js").Pair} Pair */
/** @typedef {import("./paint.js").Layer} Layer */
/** @typedef {{pairs: Pair[], paint: Layer, area: Layer, [more: string]: any}} Draft  of each kind its own parts */
/**
 * @typedef {object} Field  a part of what is prepared: how it begins, and how the browser's storage keeps it
 * @property {(side: number) => any} empty  for a picture of `side` pixels
 * @property {(value: any) => unknown} pack  as JSON can hold it
 * @property {(packed: any, side: number) => any} unpack  throws for what is of no such picture
 * @property {(value: any, side: number) => boolean} [stays]  whether it goes on to a picture of `side` pixels
 *   that is made of this one
 */
/** @typedef {{draft?: Record<string, Field>}[]} Kinds */

/** All parts that there are, by their names.
 * @type {(kinds: Kinds) => [string, Field][]} */
const fields = (kinds) => kinds.flatMap(({ draft }) => Object.entries(draft ?? {}));

/** @type {(kinds: Kinds, side: number) => Draft} */
export const empty = (kinds, side) =>
  /** @type {Draft} */ (Object.fromEntries(fields(kinds).map(([name, field]) => [name, field.empty(side)])));

/** The draft for a picture that was made of one with the draft `parent`.
 * @type {(kinds: Kinds, parent: Draft | undefined, side: number) => Draft} */
export function inherited(kinds, parent, side) {
  const draft = empty(kinds, side);
  for (const [name, field] of fields(kinds))
    if (parent && field.stays?.(parent[name], side)) draft[name] = parent[name];
  return draft;
}

/** For the browser's storage.
 * @type {(kinds: Kinds, draft: Draft) => string} */
export const toText = (kinds, draft) =>
  JSON.stringify(Object.fromEntries(fields(kinds).map(([name, field]) => [name, field.pack(draft[name])])));

/** Null for what is no draft of a picture of `side` pixels. Parts that are not there are empty.
 * @type {(kinds: Kinds, text: string | null, side: number) => Draft | null} */
export function fromText(kinds, text, side) {
  try {
    const packed = JSON.parse(text ?? "");
    const draft = empty(kinds, side);
    for (const [name, field] of fields(kinds))
      if (packed[name] !== undefined) draft[name] = field.unpack(packed[name], side);
    return draft;
  } catch {
    return null;
  }
}

/** @type {(bytes: Uint8Array) => string} */
const toBase64 = (bytes) => {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
};

/** @type {(text: string) => Uint8Array<ArrayBuffer>} */
const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

/** A layer of paint: one byte for each pixel.
 * @type {Field} */
export const painted = {
  empty: (side) => new Uint8Array(side * side),
  pack: toBase64,
  unpack(packed, side) {
    const layer = fromBase64(packed);
    if (layer.length !== side * side) throw new Error(`A picture of ${side} pixels has no such layer.`);
    return layer;
  },
  stays: (layer, side) => layer.length === side * side,
};

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
