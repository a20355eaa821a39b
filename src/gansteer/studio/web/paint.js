// What may move and what must stay, as painted by a person. Pure: every function gives a new layer.
//
// A layer has one byte a pixel: nothing said, FREE or HELD. Where anything is FREE, all that nothing is said of stays;
// otherwise it moves. So a person can paint either what shall move or what shall stay.

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {Uint8Array<ArrayBuffer>} Layer  side * side, row by row */
/** @typedef {(x: number, y: number) => boolean} Shape */

export const NONE = 0;
export const FREE = 1;
export const HELD = 2;

/** @type {(side: number) => Layer} */
export const blank = (side) => new Uint8Array(side * side);

/** @type {(layer: Layer) => boolean} */
export const isBlank = (layer) => layer.every((value) => value === NONE);

/** `layer` with `value` wherever `shape` says so.
 * @type {(layer: Layer, value: number, shape: Shape) => Layer} */
export function fill(layer, value, shape) {
  const side = Math.sqrt(layer.length);
  const filled = layer.slice();
  for (let i = 0; i < filled.length; i++) if (shape(i % side, Math.floor(i / side))) filled[i] = value;
  return filled;
}

/** Within `radius` of the way from `a` to `b`: one piece of a stroke.
 * @type {(a: Point, b: Point, radius: number) => Shape} */
export function stroke(a, b, radius) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const long = dx * dx + dy * dy;
  return (x, y) => {
    const t = long ? Math.min(1, Math.max(0, ((x - a[0]) * dx + (y - a[1]) * dy) / long)) : 0;
    return Math.hypot(x - a[0] - t * dx, y - a[1] - t * dy) <= radius;
  };
}

/** @type {(a: Point, b: Point) => Shape} */
export const rectangle = (a, b) => (x, y) =>
  x >= Math.min(a[0], b[0]) && x <= Math.max(a[0], b[0]) && y >= Math.min(a[1], b[1]) && y <= Math.max(a[1], b[1]);

/** @type {(a: Point, b: Point) => Shape} */
export const ellipse = (a, b) => {
  const [cx, cy] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  const [rx, ry] = [Math.abs(a[0] - b[0]) / 2 + 0.01, Math.abs(a[1] - b[1]) / 2 + 0.01];
  return (x, y) => ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1;
};

/** The border of what isn't 0, as lines [x, y, x, y] halfway between pixels (marching squares).
 * @type {(layer: Layer) => [number, number, number, number][]} */
export function border(layer) {
  const side = Math.sqrt(layer.length);
  const at = (/** @type {number} */ x, /** @type {number} */ y) =>
    x >= 0 && y >= 0 && x < side && y < side && layer[y * side + x] ? 1 : 0;
  /** @type {[number, number, number, number][]} */
  const lines = [];
  for (let y = -1; y < side; y++)
    for (let x = -1; x < side; x++) {
      const corners = [at(x, y), at(x + 1, y), at(x + 1, y + 1), at(x, y + 1)];
      const sum = corners[0] + corners[1] + corners[2] + corners[3];
      if (sum === 0 || sum === 4) continue;
      const middles = [
        [x + 0.5, y],
        [x + 1, y + 0.5],
        [x + 0.5, y + 1],
        [x, y + 0.5],
      ]; // of the sides, from the top
      const crossed = middles.filter((_, i) => corners[i] !== corners[(i + 1) % 4]);
      for (let i = 0; i < crossed.length; i += 2)
        lines.push(/** @type {[number, number, number, number]} */ ([...crossed[i], ...crossed[i + 1]]));
    }
  return lines;
}

/** The pieces of what isn't 0 that hang together by their sides.
 * @type {(layer: Layer) => Layer[]} */
export function pieces(layer) {
  const side = Math.sqrt(layer.length);
  const left = layer.slice();
  const found = [];
  for (let first = 0; first < left.length; first++) {
    if (!left[first]) continue;
    const piece = blank(side);
    const open = [first];
    left[first] = 0;
    while (open.length) {
      const i = /** @type {number} */ (open.pop());
      piece[i] = 1;
      const x = i % side;
      for (const next of [x > 0 ? i - 1 : -1, x < side - 1 ? i + 1 : -1, i - side, i + side])
        if (left[next]) {
          left[next] = 0;
          open.push(next);
        }
    }
    found.push(piece);
  }
  return found;
}

/** What moves: 1 = may move, 0 = must stay; null when everything may.
 * @type {(layer: Layer) => Layer | null} */
export function mask(layer) {
  const rest = layer.includes(FREE) ? 0 : 1;
  const moves = layer.map((value) => (value === NONE ? rest : value === FREE ? 1 : 0));
  return moves.includes(0) ? moves : null;
}

/** The layer of a mask.
 * @type {(moves: Layer | null, side: number) => Layer} */
export const fromMask = (moves, side) => (moves ? moves.map((value) => (value ? NONE : HELD)) : blank(side));

/** What stayed may move, and the other way round.
 * @type {(layer: Layer) => Layer} */
export function invert(layer) {
  const moves = mask(layer);
  return moves ? moves.map((value) => (value ? HELD : NONE)) : layer.map(() => HELD);
}
