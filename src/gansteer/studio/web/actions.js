// What the hot keys and several buttons do, by the names of the table in keys.js.

import { find } from "./keys.js";
import { clamp, zoom } from "./geometry.js";
import { actual, Look } from "./look.js";
import { invert, isBlank } from "./paint.js";
import { arrived } from "./points.js";
import { draftOf, inHand, running, sideOf } from "./state.js";

/** @typedef {import("./studio.js").Studio} Studio */

/** @type {import("./state.js").Shape[]} */
export const SHAPES = ["brush", "rectangle", "ellipse", "part"];

/** Larger or smaller about the middle of the pane.
 * @param {Studio} studio @param {number} factor */
function zoomed(studio, factor) {
  const { pane, view } = new Look(studio.state, studio.pane);
  const middle = /** @type {[number, number]} */ ([pane.width / 2, pane.height / 2]);
  studio.store.set({ view: zoom(view, factor, middle, sideOf(studio.state), pane) });
}

/** @param {Studio} studio @param {import("./state.js").Tool} tool */
function take(studio, tool) {
  studio.gestures?.drop();
  studio.store.set({ tool });
}

/** The radius one notch on, the finer the smaller.
 * @param {Studio} studio @param {number} way */
function resize(studio, way) {
  const { radius } = studio.state;
  const next = clamp(
    Math.round(way > 0 ? radius * 1.2 + 1 : (radius - 1) / 1.2),
    1,
    Math.max(4, sideOf(studio.state) / 2),
  );
  studio.store.set({ radius: next, said: `Brush ${next}.` });
}

/** @type {Record<string, (studio: Studio) => void>} */
export const ACTIONS = {
  start: (studio) => studio.start(),
  toggle: (studio) => studio.toggle(),
  escape: (studio) => {
    if (!studio.gestures?.drop()) studio.stop();
  },
  undo: (studio) => studio.undo(),
  redo: (studio) => studio.redo(),
  shuffle: (studio) => studio.shuffle(),
  "tool-points": (studio) => take(studio, "points"),
  "tool-free": (studio) => take(studio, "free"),
  "tool-held": (studio) => take(studio, "held"),
  "tool-erase": (studio) => take(studio, "erase"),
  "tool-part": (studio) => {
    const { tool } = studio.state;
    take(studio, tool !== "points" && tool !== "own" ? tool : inHand(studio.state)?.layer ? "region" : "free");
    studio.store.set({ shape: "part", said: "Point at a part of the picture." });
  },
  adding: (studio) => {
    const adding = !studio.state.adding;
    studio.store.set({ adding, said: adding ? "Parts are added." : "A part takes the place of what there is." });
  },
  smaller: (studio) => resize(studio, -1),
  larger: (studio) => resize(studio, 1),
  invert: (studio) => {
    const draft = draftOf(studio.state);
    if (isBlank(draft.paint)) studio.tell("Paint something first: then what moves and what stays can be swapped.");
    else studio.change({ ...draft, paint: invert(draft.paint) }, "", "Swapped what may move and what must stay.");
  },
  "clear-arrived": (studio) => {
    const draft = draftOf(studio.state);
    const there = arrived(draft.pairs);
    if (!there.length || running(studio.state)) studio.say("No point has arrived.");
    else
      studio.change(
        { ...draft, pairs: draft.pairs.filter((pair) => !there.includes(pair)) },
        "",
        there.length === 1
          ? "The point that has arrived is gone."
          : `${there.length} points that have arrived are gone.`,
      );
  },
  shape: (studio) => {
    const shape = SHAPES[(SHAPES.indexOf(studio.state.shape) + 1) % SHAPES.length];
    studio.store.set({ shape, said: shape === "part" ? "Point at a part of the picture." : `Shape: ${shape}.` });
  },
  "zoom-in": (studio) => zoomed(studio, 1.25),
  "zoom-out": (studio) => zoomed(studio, 0.8),
  fit: (studio) => studio.store.set({ view: null }),
  actual: (studio) => {
    const { pane } = new Look(studio.state, studio.pane);
    studio.store.set({ view: actual(sideOf(studio.state), pane) });
  },
  pan: (studio) => studio.store.set({ panning: true }),
  "pan-end": (studio) => studio.store.set({ panning: false }),
  peek: (studio) => studio.store.set({ peeking: true }),
  "peek-end": (studio) => studio.store.set({ peeking: false }),
  marks: (studio) => studio.store.set({ marks: !studio.state.marks }),
  changes: (studio) => studio.store.set({ changes: !studio.state.changes }),
  save: (studio) => studio.save("steer"),
  open: (studio) => studio.choose(),
  export: (studio) => studio.store.set({ dialog: "export" }),
  help: (studio) => studio.store.set({ dialog: "help" }),
};

/** Whether an element takes the key for itself.
 * @param {EventTarget | null} target @param {string} key */
function takes(target, key) {
  if (!(target instanceof Element)) return false;
  if (target.closest("input:not([type=range]):not([type=checkbox]), textarea, select")) return true;
  const control = target.closest("button, a, input, summary, [role=button], [role=slider]");
  return Boolean(control) && (key === "Enter" || key === " ");
}

/** @param {Studio} studio @param {KeyboardEvent} event */
export function pressed(studio, event) {
  const key = find(event);
  if (!key || event.defaultPrevented) return;
  const single = !event.ctrlKey && !event.metaKey;
  if (document.querySelector("dialog[open]") || (single && takes(event.target, event.key))) return;
  if (single && event.key.length === 1 && event.key !== " " && !studio.state.settings.keys) return;
  event.preventDefault();
  if (!(key.hold && event.repeat)) ACTIONS[key.action](studio);
}

/** @param {Studio} studio @param {KeyboardEvent} event */
export function released(studio, event) {
  const key = find({ key: event.key, ctrlKey: false, metaKey: false, altKey: false, shiftKey: false });
  if (key?.hold) ACTIONS[`${key.action}-end`](studio);
}
