// From pointers on the stage to points, paint and views. One gesture at a time; a second finger makes it a pinch.

import { distance, pan, pinch, toPicture, toStage, zoom } from "./geometry.js";
import { ellipse, fill, FREE, HELD, NONE, rectangle, stroke } from "./paint.js";
import { called, under } from "./parts.js";
import * as points from "./points.js";
import { draftOf, layerOf, openKind, running, sideOf } from "./state.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./state.js").Draft} Draft */
/** @typedef {import("./state.js").State} State */
/**
 * @typedef {{kind: "pan", last: Point}
 *   | {kind: "end", id: number, end: points.End, from: Point, moved: boolean, base: Draft}
 *   | {kind: "new", from: Point, moved: boolean, base: Draft}
 *   | {kind: "stroke", last: Point, base: Draft}
 *   | {kind: "shape", from: Point, moved: boolean, base: Draft}
 *   | {kind: "own", own: import("./edits/index.js").Gesture}
 *   | {kind: "part"}} Gesture
 */

const STILL = 4; // CSS pixels that a click may wander

/** The layer that a tool paints on, and with what.
 * @type {(state: State) => {layer: string, value: number}} */
export const brushOf = (state) => ({
  layer: layerOf(state),
  value: state.tool === "erase" ? NONE : state.tool === "held" ? HELD : FREE,
});

/** The draft with a shape of the tool in hand filled.
 * @type {(state: State, draft: Draft, shape: import("./paint.js").Shape) => Draft} */
export function painted(state, draft, shape) {
  const { layer, value } = brushOf(state);
  return { ...draft, [layer]: fill(draft[layer], value, shape) };
}

/** @type {(state: State, a: Point, b: Point) => import("./paint.js").Shape} */
export const shapeOf = (state, a, b) => (state.shape === "ellipse" ? ellipse(a, b) : rectangle(a, b));

export class Gestures {
  /** @param {import("./studio.js").Studio} studio
   *  @param {() => import("./look.js").Look} look */
  constructor(studio, look) {
    this.studio = studio;
    this.look = look;
    /** @type {Map<number, Point>} */
    this.pointers = new Map();
    /** @type {Gesture | null} */
    this.gesture = null;
    /** The first corner of a shape made with two clicks. @type {Point | null} */
    this.corner = null;
  }

  /** @param {Point} at @param {number} pointer
   *  @param {{button: number, target: {id: number, end: points.End} | null}} how */
  down(at, pointer, { button, target }) {
    const { state } = this.studio;
    this.pointers.set(pointer, at);
    if (this.pointers.size === 2) {
      this.drop();
      return;
    }
    if (this.pointers.size > 2 || button === 2 || !state.session) return;
    const base = draftOf(state);
    const from = toPicture(this.look().view, at);
    if (button === 1 || state.panning) this.gesture = { kind: "pan", last: at };
    else if (running(state)) this.studio.tell("Stop first, then change points or paint.");
    else if (state.tool === "own") {
      const own = openKind(state)?.press?.(this.studio, from);
      this.gesture = own ? { kind: "own", own } : null;
    } else if (target && state.tool === "points")
      this.gesture = { kind: "end", ...target, from: at, moved: false, base };
    else if (state.tool === "points") this.gesture = { kind: "new", from: at, moved: false, base };
    else if (state.shape === "brush") {
      this.gesture = { kind: "stroke", last: from, base };
      this.studio.store.set({ live: painted(state, base, stroke(from, from, state.radius)) });
    } else if (state.shape === "part") this.gesture = { kind: "part" };
    else this.gesture = { kind: "shape", from: at, moved: false, base };
  }

  /** @param {Point} at @param {number} pointer */
  move(at, pointer) {
    const before = this.pointers.get(pointer);
    if (!before) return;
    if (this.pointers.size === 2) {
      const was = /** @type {[Point, Point]} */ ([...this.pointers.values()]);
      this.pointers.set(pointer, at);
      const now = /** @type {[Point, Point]} */ ([...this.pointers.values()]);
      const { view, pane } = this.look();
      this.studio.store.set({ view: pinch(view, was, now, sideOf(this.studio.state), pane) });
      return;
    }
    this.pointers.set(pointer, at);
    const { gesture } = this;
    if (!gesture || gesture.kind === "part") return;
    const { view, pane } = this.look();
    const { state, store } = this.studio;
    const side = sideOf(state);
    if (gesture.kind === "pan") {
      store.set({ view: pan(view, at[0] - gesture.last[0], at[1] - gesture.last[1], side, pane) });
      gesture.last = at;
      return;
    }
    const here = toPicture(view, at);
    if (gesture.kind === "own") {
      gesture.own.move(here);
      return;
    }
    if (gesture.kind === "stroke") {
      store.set({ live: painted(state, draftOf(state), stroke(gesture.last, here, state.radius)) });
      gesture.last = here;
      return;
    }
    gesture.moved ||= distance(at, gesture.from) >= STILL;
    if (!gesture.moved) return;
    const { base } = gesture;
    if (gesture.kind === "shape")
      store.set({ live: painted(state, base, shapeOf(state, toPicture(view, gesture.from), here)) });
    else if (gesture.kind === "end")
      store.set({ live: { ...base, pairs: points.place(base.pairs, gesture.id, gesture.end, here, side) } });
    else store.set({ live: { ...base, pairs: this.drawn(base, toPicture(view, gesture.from), here, side) } });
  }

  /** The pairs when a gesture over empty picture goes from `from` to `to`.
   * @param {Draft} base @param {Point} from @param {Point} to @param {number} side */
  drawn({ pairs }, from, to, side) {
    const open = points.waiting(pairs);
    return open ? points.place(pairs, open.id, "to", to, side) : points.add(pairs, from, side, to);
  }

  /** @param {Point} at @param {number} pointer @param {number} when  in ms @param {boolean} [adding] */
  up(at, pointer, when, adding) {
    const { gesture } = this;
    const pinching = this.pointers.size > 1;
    this.pointers.delete(pointer);
    if (!gesture || pinching) return;
    this.gesture = null;
    const { studio } = this;
    const { live } = studio.state;
    if (gesture.kind === "own") gesture.own.end(toPicture(this.look().view, at), when);
    else if (gesture.kind === "pan" || gesture.kind === "end") {
      if (live) studio.change(live);
    } else if (gesture.kind !== "part" && (gesture.kind === "stroke" || gesture.moved)) {
      if (live) studio.change(live);
    } else this.click(toPicture(this.look().view, at), adding);
  }

  /** Where a click, or Enter at the cross, puts something: a point, its target, the corner of a shape; or takes a part.
   * @param {Point} here @param {boolean} [adding] */
  click(here, adding = false) {
    const { studio } = this;
    const { state } = studio;
    const side = sideOf(state);
    const draft = draftOf(state);
    if (running(state)) {
      studio.tell("Stop first, then change points or paint.");
    } else if (state.tool === "own") {
      openKind(state)?.press?.(studio, here)?.end(here, performance.now());
    } else if (state.tool === "points") {
      const open = points.waiting(draft.pairs);
      const pairs = open ? points.place(draft.pairs, open.id, "to", here, side) : points.add(draft.pairs, here, side);
      const number = open ? draft.pairs.indexOf(open) + 1 : pairs.length;
      studio.change(
        { ...draft, pairs },
        "",
        open ? `Target ${number} is set.` : `Point ${number} is set; now its target.`,
      );
    } else if (state.shape === "brush") {
      studio.change(painted(state, draft, stroke(here, here, state.radius)), "", "Painted.");
    } else if (state.shape === "part") {
      this.take(here, adding || state.adding);
    } else if (this.corner) {
      studio.change(painted(state, draft, shapeOf(state, this.corner, here)), "", "Painted.");
      this.corner = null;
    } else {
      this.corner = here;
      studio.say("First corner set; now the opposite one.");
    }
  }

  /** Paint the part at a point: in the place of what there is, or added to it. One that is there already is taken away.
   * @param {Point} here @param {boolean} adding */
  take(here, adding) {
    const { studio } = this;
    const { state } = studio;
    const part = under(state.parts.list, here, sideOf(state));
    if (!part) return state.parts.list ? undefined : studio.tell("One moment: the picture is still being looked at.");
    const draft = draftOf(state);
    const { layer, value } = brushOf(state);
    /** @type {import("./paint.js").Layer} */
    const now = draft[layer];
    const there = part.layer.every((inside, i) => !inside || now[i] === value);
    const result = there && adding ? NONE : value;
    const rest = adding || value === NONE ? now : now.map((one) => (one === value ? NONE : one));
    const said = result === NONE ? "taken away" : adding ? "added" : "taken";
    studio.change(
      { ...draft, [layer]: rest.map((one, i) => (part.layer[i] ? result : one)) },
      "",
      `${called(part)}: ${said}.`,
    );
    return undefined;
  }

  /** Give up what is under way; whether there was anything. */
  drop() {
    const { studio } = this;
    const any = Boolean(this.gesture || this.corner || studio.state.live);
    if (this.gesture?.kind === "own") this.gesture.own.drop();
    this.gesture = this.corner = null;
    if (any) studio.store.set({ live: null });
    const draft = draftOf(studio.state);
    const open = points.waiting(draft.pairs);
    if (any || !open) return any;
    studio.change({ ...draft, pairs: points.remove(draft.pairs, open.id) }, "", "The unfinished point is gone.");
    return true;
  }

  /** @param {Point} at @param {number} factor */
  zoom(at, factor) {
    const { view, pane } = this.look();
    this.studio.store.set({ view: zoom(view, factor, at, sideOf(this.studio.state), pane) });
  }

  /** The end of a pair that is nearest to `at`, within `reach` CSS pixels; targets lie above handles.
   * @param {Point} at @param {number} reach */
  near(at, reach) {
    const { view } = this.look();
    let found = null;
    let best = reach;
    for (const pair of draftOf(this.studio.state).pairs)
      for (const end of /** @type {points.End[]} */ (["to", "from"])) {
        const point = pair[end];
        const away = point ? distance(toStage(view, point), at) : Infinity;
        if (away < best) {
          best = away;
          found = { id: pair.id, end };
        }
      }
    return found;
  }
}
