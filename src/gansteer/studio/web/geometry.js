// Where the picture lies on the stage. Pure.
//
// A point of the picture is [x, y] in its pixels, the centre of the top-left pixel being [0, 0]; a point of the stage
// is in CSS pixels from its top-left corner.

/** @typedef {[number, number]} Point */
/** @typedef {{scale: number, x: number, y: number}} View  CSS pixels per pixel, and where the picture's corner lies */
/** @typedef {{width: number, height: number}} Size */

export const LARGEST = 48; // CSS pixels per pixel

/** @type {(view: View, point: Point) => Point} */
export const toStage = (view, [x, y]) => [(x + 0.5) * view.scale + view.x, (y + 0.5) * view.scale + view.y];

/** @type {(view: View, point: Point) => Point} */
export const toPicture = (view, [x, y]) => [(x - view.x) / view.scale - 0.5, (y - view.y) / view.scale - 0.5];

/** @type {(a: Point, b: Point) => number} */
export const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);

/** @type {(a: Point, b: Point) => Point} */
export const middle = (a, b) => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];

/** @type {(value: number, low: number, high: number) => number} */
export const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

/** The nearest point of a picture of `side` pixels, to a tenth of a pixel.
 * @type {(point: Point, side: number) => Point} */
export const inside = ([x, y], side) => {
  const tenth = (/** @type {number} */ v) => Math.round(clamp(v, 0, side - 1) * 10) / 10;
  return [tenth(x), tenth(y)];
};

/** The whole picture, centred, with `margin` CSS pixels around it.
 * @type {(side: number, stage: Size, margin?: number) => View} */
export function fit(side, stage, margin = 0) {
  const room = Math.max(16, Math.min(stage.width, stage.height) - 2 * margin);
  return centred(side, stage, room / side);
}

/** The picture at `scale`, centred.
 * @type {(side: number, stage: Size, scale: number) => View} */
export const centred = (side, stage, scale) => ({
  scale,
  x: (stage.width - side * scale) / 2,
  y: (stage.height - side * scale) / 2,
});

/** `factor` times as large, with what is under `at` staying there.
 * @type {(view: View, factor: number, at: Point, side: number, stage: Size) => View} */
export function zoom(view, factor, at, side, stage) {
  const smallest = Math.min(1, fit(side, stage).scale / 2);
  const scale = clamp(view.scale * factor, smallest, LARGEST);
  const by = scale / view.scale;
  return kept({ scale, x: at[0] - (at[0] - view.x) * by, y: at[1] - (at[1] - view.y) * by }, side, stage);
}

/** @type {(view: View, dx: number, dy: number, side: number, stage: Size) => View} */
export const pan = (view, dx, dy, side, stage) => kept({ ...view, x: view.x + dx, y: view.y + dy }, side, stage);

/** Two fingers went from `before` to `after`.
 * @type {(view: View, before: [Point, Point], after: [Point, Point], side: number, stage: Size) => View} */
export function pinch(view, before, after, side, stage) {
  const from = middle(...before);
  const to = middle(...after);
  const factor = distance(...after) / Math.max(1, distance(...before));
  return pan(zoom(view, factor, from, side, stage), to[0] - from[0], to[1] - from[1], side, stage);
}

/** The view moved so that at least a quarter of the picture, or of the stage, is in sight.
 * @type {(view: View, side: number, stage: Size) => View} */
function kept(view, side, stage) {
  const size = side * view.scale;
  const keep = (/** @type {number} */ at, /** @type {number} */ room) => {
    const least = Math.min(size, room) / 4;
    return clamp(at, least - size, room - least);
  };
  return { scale: view.scale, x: keep(view.x, stage.width), y: keep(view.y, stage.height) };
}
