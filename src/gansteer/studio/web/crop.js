// The square of a photo that is taken. Pure.

import { clamp } from "./geometry.js";

/** @typedef {import("./protocol").CropInfo} Crop */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./geometry.js").Size} Size */

export const SMALLEST = 32; // pixels of the photo
export const STEEPEST = 45; // degrees to either side

/** @type {(crop: Crop) => [number, number]} */
const turn = ({ angle }) => [Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)];

/** Where a point of the crop, from -0.5 to 0.5 along its sides, is in the photo.
 * @type {(crop: Crop, along: Point) => Point} */
export function place(crop, [u, v]) {
  const [c, s] = turn(crop);
  return [crop.x + crop.size * (c * u - s * v), crop.y + crop.size * (s * u + c * v)];
}

/** Top left, top right, bottom right and bottom left in the photo.
 * @type {(crop: Crop) => Point[]} */
export const corners = (crop) =>
  /** @type {Point[]} */ ([
    [-0.5, -0.5],
    [0.5, -0.5],
    [0.5, 0.5],
    [-0.5, 0.5],
  ]).map((along) => place(crop, along));

/** A crop that the studio takes: its centre in the photo, neither tiny nor much larger than the photo.
 * @type {(crop: Crop, photo: Size) => Crop} */
export const proper = ({ x, y, size, angle }, { width, height }) => ({
  x: clamp(x, 0, width - 1),
  y: clamp(y, 0, height - 1),
  size: clamp(size, Math.min(SMALLEST, width, height), largest({ width, height })),
  angle: clamp(angle, -STEEPEST, STEEPEST),
});

/** Where copies of the photo are laid, in numbers of photos across and down, so that none of the crop stays empty.
 * Every other copy is mirrored, as the studio mirrors what hangs over the border.
 * @type {(crop: Crop, photo: Size) => Point[]} */
export function copies(crop, { width, height }) {
  /** @param {0 | 1} axis @param {number} size */
  const along = (axis, size) => {
    const reached = corners(crop).map((corner) => Math.floor((corner[axis] + 0.5) / size));
    const first = Math.min(...reached);
    return Array.from({ length: Math.max(...reached) - first + 1 }, (_, i) => first + i);
  };
  return along(0, width).flatMap((i) => along(1, height).map((j) => /** @type {Point} */ ([i, j])));
}

/** @type {(photo: Size) => number} */
export const largest = ({ width, height }) => 1.5 * Math.max(width, height);

/** The size that brings a corner as far out as `to`.
 * @type {(crop: Crop, to: Point) => number} */
export function reaching(crop, [x, y]) {
  const [c, s] = turn(crop);
  const [dx, dy] = [x - crop.x, y - crop.y];
  return 2 * Math.max(Math.abs(c * dx + s * dy), Math.abs(c * dy - s * dx));
}

/** As the studio reads it.
 * @type {(crop: Crop) => string} */
export const written = ({ x, y, size, angle }) => [x, y, size, angle].map((v) => Math.round(v * 100) / 100).join(",");
