// The picture under its paint under its points, and everything that pointers and keys do there.

import { Look } from "./look.js";
import { Gestures } from "./gestures.js";
import { inside, toPicture, toStage } from "./geometry.js";
import { Marks } from "./marks.js";
import { learn, pointing, wanted } from "./parts.js";
import * as points from "./points.js";
import { beneath, draftOf, present, running, sideOf } from "./state.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./vendor/preact.js";
import { titled } from "./words.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./studio.js").Studio} Studio */

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 8; // pixels with Shift
const WORDS = "Picture. Arrow keys move the cross, Enter puts a point and then its target; Tab goes to the points.";

/** @param {{studio: Studio}} props */
export function Stage({ studio }) {
  const { state } = studio;
  /** @type {import("./vendor/preact.js").Ref<HTMLElement>} */
  const box = useRef(null);
  /** @type {import("./vendor/preact.js").Ref<HTMLCanvasElement>} */
  const canvas = useRef(null);
  const [size, setSize] = useState({ width: 0, height: 0 });
  const [hover, setHover] = useState(/** @type {Point | null} */ (null));
  const side = sideOf(state);
  const look = new Look(state, size);
  /** @type {import("./vendor/preact.js").Ref<Gestures>} */
  const gestures = useRef(null);
  gestures.current ??= new Gestures(studio, () => looks(studio));
  studio.gestures = gestures.current;

  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => {
      const { width, height } = entry.contentRect;
      setSize({ width, height });
      studio.pane = { width, height };
    });
    watch.observe(box.current);
    return () => watch.disconnect();
  }, []);

  useLayoutEffect(() => {
    const draw = () => drawPicture(canvas.current, studio.picture, sideOf(studio.state));
    studio.onPicture = draw;
    draw();
  }, [side]);

  useEffect(() => {
    const wheel = (/** @type {WheelEvent} */ event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      const speed = event.ctrlKey ? 0.01 : 0.0018;
      gestures.current.zoom(at(event, looks(studio), box.current), Math.exp(-event.deltaY * lines * speed));
    };
    box.current.addEventListener("wheel", wheel, { passive: false });
    return () => box.current.removeEventListener("wheel", wheel);
  }, []);

  const asked = wanted(state);
  useEffect(() => void learn(studio), [asked, state.link]);

  /** @param {PointerEvent} event */
  const down = (event) => {
    if (event.target instanceof Element && event.target.closest("[data-own]")) return;
    const { state } = studio; // now, which may be newer than what is drawn
    const point = at(event, looks(studio), box.current);
    const open = points.waiting(draftOf(state).pairs); // then a finger near the point means the target
    const reach = event.pointerType === "touch" && !open ? 26 : 15;
    const target = state.tool === "points" ? gestures.current.near(point, reach) : null;
    box.current.setPointerCapture(event.pointerId);
    if (pointing(state)) setHover(point);
    gestures.current.down(point, event.pointerId, { button: event.button, target });
    if (state.cross) studio.store.set({ cross: null });
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    const point = at(event, looks(studio), box.current);
    setHover(event.pointerType === "touch" && !(pointing(studio.state) && event.buttons) ? null : point);
    gestures.current.move(point, event.pointerId);
  };
  /** @param {PointerEvent} event */
  const up = (event) => {
    gestures.current.up(at(event, looks(studio), box.current), event.pointerId, event.timeStamp, event.shiftKey);
    if (event.pointerType === "touch") setHover(null);
  };
  /** @param {PointerEvent} event */
  const cancel = (event) => {
    gestures.current.pointers.delete(event.pointerId);
    gestures.current.drop();
  };

  /** @param {KeyboardEvent} event */
  const key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const mark = event.target instanceof Element ? event.target.closest("[data-end]") : null;
    if (event.target !== box.current && !mark) return;
    const [id, end] = (mark?.getAttribute("data-end") ?? "").split("-");
    const { state } = studio;
    const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
    const draft = draftOf(state);
    if (arrow) {
      const [dx, dy] = arrow.map((step) => step * (event.shiftKey ? FAR : 1));
      if (!mark) studio.store.set({ cross: crossed(state, dx, dy) });
      else if (!running(state)) {
        const pairs = points.nudge(draft.pairs, Number(id), /** @type {points.End} */ (end), dx, dy, side);
        studio.change({ ...draft, pairs }, `nudge ${id} ${end}`);
      }
    } else if ((event.key === "Delete" || event.key === "Backspace") && mark && !running(state)) {
      studio.change({ ...draft, pairs: points.remove(draft.pairs, Number(id)) }, "", "Point removed.");
      box.current.focus();
    } else if (event.key === "Enter" && !event.shiftKey && !mark) {
      gestures.current.click(state.cross ?? crossed(state, 0, 0));
      studio.store.set({ cross: state.cross ?? crossed(state, 0, 0) });
    } else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const node = present(state);
  const under = beneath(state);
  const changes = node?.parent != null && studio.wire.file(`change/${node.parent}/${node.id}`, { at: node.steps });
  const peek = state.peeking && under != null;
  const pointer = state.panning
    ? "grab"
    : running(state)
      ? "default"
      : state.tool === "points"
        ? "crosshair"
        : state.shape === "part"
          ? "pointer"
          : "none";
  return html`
    <div
      class="stage"
      ref=${box}
      tabindex="0"
      role="application"
      aria-label=${WORDS}
      data-cursor=${pointer}
      onPointerDown=${down}
      onPointerMove=${move}
      onPointerUp=${up}
      onPointerCancel=${cancel}
      onPointerLeave=${() => setHover(null)}
      onKeyDown=${key}
      onContextMenu=${quiet}
    >
      <canvas
        class="picture"
        ref=${canvas}
        width=${side || 1}
        height=${side || 1}
        style=${look.place(1)}
        role="img"
        aria-label=${node ? `${titled(node, state)}, now` : "No picture yet"}
      ></canvas>
      ${
        under &&
        (peek || state.comparing !== "off") &&
        html`
          <${Before} studio=${studio} look=${look} under=${under} peek=${peek} />
        `
      }
      ${
        state.changes &&
        changes &&
        !peek &&
        html`
          <div
            class="changes"
            role="img"
            aria-label="Where the last edit changed the picture"
            style=${{ ...look.place(1), maskImage: `url("${changes}")` }}
          ></div>
        `
      }
      ${
        state.marks &&
        !peek &&
        side > 0 &&
        html`
          <${Marks} studio=${studio} look=${look} hover=${hover} corner=${gestures.current.corner} />
        `
      }
      ${
        state.comparing === "slider" &&
        under &&
        !peek &&
        html`
          <${Divider} studio=${studio} look=${look} />
        `
      }
      ${
        state.comparing === "side" &&
        html`
          <span class="pane-line" style=${{ left: `${size.width / 2}px` }}></span>
        `
      }
    </div>
  `;
}

/** @param {Event} event */
const quiet = (event) => event.preventDefault();

/** How the picture lies now, which may be newer than what is drawn.
 * @type {(studio: Studio) => Look} */
const looks = (studio) => new Look(studio.state, studio.pane);

/** Where an event is on the pane that is edited.
 * @type {(event: MouseEvent, look: Look, box: HTMLElement) => Point} */
function at(event, look, box) {
  const { left, top } = box.getBoundingClientRect();
  return [event.clientX - left - box.clientLeft - look.left, event.clientY - top - box.clientTop];
}

/** The cross after a step; it begins in the middle.
 * @type {(state: import("./state.js").State, dx: number, dy: number) => Point} */
function crossed(state, dx, dy) {
  const side = sideOf(state);
  const [x, y] = state.cross ?? [Math.floor(side / 2) - dx, Math.floor(side / 2) - dy];
  return inside([x + dx, y + dy], side);
}

/** @type {(canvas: HTMLCanvasElement, picture: ImageBitmap | null, side: number) => void} */
function drawPicture(canvas, picture, side) {
  const context = canvas.getContext("2d");
  if (!context || !picture || !side) return;
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, side, side);
}

/** The picture before: beside the present one, over a part of it, or in its place.
 * @param {{studio: Studio, look: Look, under: {path: string, title: string}, peek: boolean}} props */
function Before({ studio, look, under, peek }) {
  const { state } = studio;
  const beside = state.comparing === "side" && !peek;
  const clip = state.comparing === "slider" && !peek ? { clipPath: `inset(0 ${(1 - state.split) * 100}% 0 0)` } : {};
  return html`
    <img
      class="before"
      src=${studio.wire.file(under.path)}
      alt=${`Before: ${under.title}`}
      draggable=${false}
      style=${{ ...look.place(beside ? 0 : 1), ...clip }}
    />
  `;
}

/** Moves the border between before and after, by pointer and by keys.
 * @param {{studio: Studio, look: Look}} props */
function Divider({ studio, look }) {
  const { state } = studio;
  const side = sideOf(state);
  const [left, top] = toStage(look.view, [state.split * side - 0.5, -0.5]);
  /** @param {PointerEvent} event */
  const hold = (event) => /** @type {HTMLElement} */ (event.currentTarget).setPointerCapture(event.pointerId);
  /** @param {PointerEvent} event */
  const move = (event) => {
    const bar = /** @type {HTMLElement} */ (event.currentTarget);
    if (!bar.hasPointerCapture(event.pointerId)) return;
    const [x] = toPicture(look.view, at(event, looks(studio), /** @type {HTMLElement} */ (bar.parentElement)));
    studio.store.set({ split: Math.min(1, Math.max(0, (x + 0.5) / side)) });
  };
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, Home: -1, End: 1 }[event.key];
    if (!step) return;
    studio.store.set({ split: Math.min(1, Math.max(0, studio.state.split + step)) });
    event.preventDefault();
    event.stopPropagation();
  };
  return html`
    <div
      class="divider"
      data-own
      role="slider"
      tabindex="0"
      aria-label="Border between before and after"
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${Math.round(state.split * 100)}
      style=${{ left: `${left}px`, top: `${top}px`, height: `${side * look.view.scale}px` }}
      onPointerDown=${hold}
      onPointerMove=${move}
      onKeyDown=${key}
    >
      <span></span>
    </div>
  `;
}
