// The points of a drag. Pure: every function gives a new list.

import { distance, inside } from "./geometry.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {{id: number, from: Point, to: Point | null}} Pair  a handle, and its target once it has one */
/** @typedef {"from" | "to"} End */

const ARRIVED = 2; // pixels; a drag ends within as many of its targets

/** @type {(pairs: Pair[], from: Point, side: number, to?: Point | null) => Pair[]} */
export function add(pairs, from, side, to = null) {
  const id = Math.max(0, ...pairs.map((pair) => pair.id)) + 1;
  return [...pairs, { id, from: inside(from, side), to: to && inside(to, side) }];
}

/** @type {(pairs: Pair[], id: number, end: End, at: Point, side: number) => Pair[]} */
export const place = (pairs, id, end, at, side) =>
  pairs.map((pair) => (pair.id === id ? { ...pair, [end]: inside(at, side) } : pair));

/** @type {(pairs: Pair[], id: number, end: End, dx: number, dy: number, side: number) => Pair[]} */
export const nudge = (pairs, id, end, dx, dy, side) =>
  pairs.map((pair) => {
    const at = pair[end];
    return pair.id === id && at ? { ...pair, [end]: inside([at[0] + dx, at[1] + dy], side) } : pair;
  });

/** @type {(pairs: Pair[], id: number) => Pair[]} */
export const remove = (pairs, id) => pairs.filter((pair) => pair.id !== id);

/** @type {(pairs: Pair[]) => {id: number, from: Point, to: Point}[]} */
export const complete = (pairs) => /** @type {any} */ (pairs.filter((pair) => pair.to));

/** The pairs whose handles are where they should be: they go on holding what is there.
 * @type {(pairs: Pair[]) => Pair[]} */
export const arrived = (pairs) => pairs.filter(({ from, to }) => to && distance(from, to) < ARRIVED);

/** The pair that waits for its target.
 * @type {(pairs: Pair[]) => Pair | undefined} */
export const waiting = (pairs) => pairs.find((pair) => !pair.to);

/** The pairs with their handles where a run has brought them.
 * @type {(pairs: Pair[], handles: Point[], side: number) => Pair[]} */
export function carried(pairs, handles, side) {
  let i = 0;
  return pairs.map((pair) => (pair.to && i < handles.length ? { ...pair, from: inside(handles[i++], side) } : pair));
}
