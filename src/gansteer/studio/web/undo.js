// Going back and forth through states. Pure.

/** @template T @typedef {{past: T[], present: T, future: T[], tag: string}} Trail  `tag` names the last change */

const LONGEST = 200;

/** @type {<T>(present: T) => Trail<T>} */
export const trail = (present) => ({ past: [], present, future: [], tag: "" });

/** The trail after a change to `present`. Changes in a row with the same non-empty tag are undone as one.
 * @type {<T>(trail: Trail<T>, present: T, tag?: string) => Trail<T>} */
export function changed(trail, present, tag = "") {
  const together = tag !== "" && tag === trail.tag && trail.past.length > 0;
  const past = together ? trail.past : [...trail.past, trail.present].slice(-LONGEST);
  return { past, present, future: [], tag };
}

/** @type {<T>(trail: Trail<T>) => Trail<T>} */
export function undone(trail) {
  const { past, present, future } = trail;
  if (!past.length) return trail;
  return { past: past.slice(0, -1), present: past[past.length - 1], future: [present, ...future], tag: "" };
}

/** @type {<T>(trail: Trail<T>) => Trail<T>} */
export function redone(trail) {
  const { past, present, future } = trail;
  if (!future.length) return trail;
  return { past: [...past, present], present: future[0], future: future.slice(1), tag: "" };
}
