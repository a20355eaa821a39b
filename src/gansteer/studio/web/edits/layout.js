// Layout: the blobs of a picture, to be moved, resized, restyled, hidden, added; the things that they draw follow.

import { toPicture, toStage } from "../geometry.js";
import { Sheet } from "../sheet.js";
import { running } from "../state.js";
import { html, useRef } from "../vendor/preact.js";
import { Arranger, KIND } from "./arranging.js";
import { Panel } from "./layout_panel.js";

/** @typedef {import("../geometry.js").Point} Point */
/** @typedef {import("../state.js").State} State */
/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {import("./arranging.js").Blob} Blob */
/** @typedef {import("./arranging.js").Known} Known */
/** @typedef {import("./index.js").Drawing} Drawing */
/** @typedef {{heat: boolean, chosen: number | null, known: Known | null, names: (string | null)[]}} Own */

const TWICE = 450; // ms within which two clicks are a double one
const NEAR = 6; // pixels of the picture that they may be apart, in hundredths of its side
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FAR = 8; // pixels with Shift
const STEP = 1.1; // how many times as large with one press of +
const HANDLE = Math.SQRT1_2; // where the handle for the size is: down and to the right

/** @type {(state: State) => Own} */
export const own = (state) => state.own[layout.tab];

/** What moves the blobs, one for each page.
 * @type {WeakMap<Studio, Arranger>} */
const arrangers = new WeakMap();

/** @type {(studio: Studio) => Arranger} */
export function arrangerOf(studio) {
  const there = arrangers.get(studio);
  if (there) return there;
  const fresh = new Arranger(studio, (known) => studio.keepOwn(layout, { known }));
  arrangers.set(studio, fresh);
  return fresh;
}

/** The last click that hit no blob, of each page.
 * @type {WeakMap<Studio, {at: Point, when: number}>} */
const clicks = new WeakMap();

/** @type {import("./index.js").Kind<Own>} */
export const layout = {
  tab: "layout",
  label: "Layout",
  needs: KIND,
  Panel,
  tool: "own",
  own: { heat: false, chosen: null, known: null, names: [] },

  /** A press that hits no blob: the second of two adds one. */
  press(studio, from) {
    return {
      move() {},
      drop() {},
      end(at, when) {
        const last = clicks.get(studio);
        const near = ((studio.state.session?.resolution ?? 0) * NEAR) / 100;
        const still = Math.hypot(at[0] - from[0], at[1] - from[1]) < near;
        const twice = last && when - last.when < TWICE && Math.hypot(at[0] - last.at[0], at[1] - last.at[1]) < near;
        if (still && (twice || studio.state.cross)) {
          clicks.delete(studio);
          arrangerOf(studio).add(at);
        } else if (still) {
          clicks.set(studio, { at, when });
          studio.keepOwn(layout, { chosen: null });
        }
      },
    };
  },

  sheet: ({ studio, look }) =>
    studio.state.tab === layout.tab &&
    own(studio.state).heat &&
    html`
      <${Heat} studio=${studio} look=${look} />
    `,

  marks: (drawing) =>
    drawing.studio.state.tab === layout.tab &&
    html`
      <${Blobs} ...${drawing} />
    `,
};

/** The heatmaps: bright where a blob is strong.
 * @param {Pick<Drawing, "studio" | "look">} props */
function Heat({ studio, look }) {
  const { known } = own(studio.state);
  const blobs = arrangerOf(studio).blobs;
  /** @type {import("../sheet.js").Draw} */
  const draw = (context, { dense, scale, x, y }) => {
    context.setTransform(dense, 0, 0, dense, 0, 0);
    context.save();
    context.beginPath();
    context.rect(x, y, look.side * scale, look.side * scale);
    context.clip();
    context.fillStyle = "rgb(8 10 24 / 55%)";
    context.fillRect(x, y, look.side * scale, look.side * scale);
    context.globalCompositeOperation = "lighter";
    for (const blob of blobs.filter(({ there }) => there)) {
      const [cx, cy] = toStage(look.view, [blob.x, blob.y]);
      const reach = 3 * blob.size * scale;
      const glow = context.createRadialGradient(cx, cy, 0, cx, cy, reach);
      for (let i = 0; i <= 12; i++) glow.addColorStop(i / 12, `rgb(255 196 64 / ${0.85 * 0.5 ** ((i / 4) ** 2)})`);
      context.fillStyle = glow;
      context.fillRect(cx - reach, cy - reach, 2 * reach, 2 * reach);
    }
    context.restore();
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[known]} />
  `;
}

/** All blobs that are there, small ones above large ones.
 * @param {Drawing} props */
function Blobs({ studio, look }) {
  const { chosen, names } = own(studio.state);
  const blobs = arrangerOf(studio)
    .blobs.map((blob, id) => ({ blob, id }))
    .filter(({ blob }) => blob.there)
    .sort((a, b) => b.blob.size - a.blob.size);
  return blobs.map(
    ({ blob, id }) => html`
      <${Mark}
        key=${`blob-${id}`}
        studio=${studio}
        look=${look}
        blob=${blob}
        id=${id}
        name=${names[id] ?? null}
        chosen=${id === chosen}
      />
    `,
  );
}

/** A blob on the picture: it is held and moved, pinched, turned by the wheel, or moved by keys.
 * @param {{studio: Studio, look: import("../look.js").Look, blob: Blob, id: number, name: string | null,
 *   chosen: boolean}} props */
function Mark({ studio, look, blob, id, name, chosen }) {
  const arranger = arrangerOf(studio);
  /** @typedef {{pointers: Map<number, Point>, from: Point, size: boolean, moved: Point}} Hold */
  /** Pointers on this blob, and what the gesture began with.
   * @type {import("../vendor/preact.js").Ref<Hold>} */
  const hold = useRef(null);
  hold.current ??= { pointers: new Map(), from: [0, 0], size: false, moved: [0, 0] };
  const fixed = () => running(studio.state) && !arranger.busy; // now, which may be newer than what is drawn
  const [x, y] = toStage(look.view, [blob.x, blob.y]);
  const radius = Math.max(8, blob.size * look.view.scale);

  /** @param {PointerEvent} event @returns {Point} */
  const at = (event) => {
    const box = /** @type {SVGElement} */ (event.currentTarget).ownerSVGElement?.getBoundingClientRect();
    return [event.clientX - (box?.left ?? 0), event.clientY - (box?.top ?? 0)];
  };
  const choose = () => {
    if (own(studio.state).chosen !== id) studio.keepOwn(layout, { chosen: id });
  };
  /** @param {PointerEvent} event */
  const down = (event) => {
    if (fixed() || event.button > 0) return;
    /** @type {Element} */ (event.currentTarget).setPointerCapture(event.pointerId);
    const state = hold.current;
    state.pointers.set(event.pointerId, at(event));
    state.from = toPicture(look.view, at(event));
    state.size = event.target instanceof Element && event.target.classList.contains("size");
    state.moved = [0, 0];
    arranger.held = true;
    choose();
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    const state = hold.current;
    const before = state.pointers.get(event.pointerId);
    if (!before) return;
    const now = at(event);
    const [other] = [...state.pointers].filter(([pointer]) => pointer !== event.pointerId);
    state.pointers.set(event.pointerId, now);
    if (other) {
      const [was, is] = [before, now].map(([px, py]) => Math.hypot(px - other[1][0], py - other[1][1]));
      if (was > 4) arranger.resize(id, is / was);
      return;
    }
    const here = toPicture(look.view, now);
    if (state.size) {
      const present = arranger.blobs[id];
      const wide = Math.hypot(here[0] - present.x, here[1] - present.y);
      arranger.resize(id, Math.max(1, wide) / present.size);
      return;
    }
    const by = /** @type {Point} */ ([here[0] - state.from[0], here[1] - state.from[1]]);
    const more = [by[0] - state.moved[0], by[1] - state.moved[1]].map((v) => Math.round(v * 10) / 10);
    if (!more[0] && !more[1]) return;
    state.moved = [state.moved[0] + more[0], state.moved[1] + more[1]];
    arranger.move(id, more[0], more[1], true);
  };
  /** @param {PointerEvent} event */
  const up = (event) => {
    hold.current.pointers.delete(event.pointerId);
    if (!hold.current.pointers.size) arranger.release();
  };
  /** @param {WheelEvent} event */
  const wheel = (event) => {
    if (fixed()) return;
    event.preventDefault();
    event.stopPropagation();
    choose();
    arranger.resize(id, Math.exp(-event.deltaY * (event.deltaMode === 1 ? 16 : 1) * 0.0012));
  };
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
    if (fixed()) return;
    if (arrow) {
      const [dx, dy] = arrow.map((step) => step * (event.shiftKey ? FAR : 1));
      arranger.move(id, dx, dy, true);
    } else if (event.key === "+" || event.key === "=") arranger.resize(id, STEP);
    else if (event.key === "-") arranger.resize(id, 1 / STEP);
    else if (event.key === "Delete" || event.key === "Backspace") arranger.remove(id);
    else if (event.key === "Enter" || event.key === " ") choose();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const [px, py] = [blob.x, blob.y].map((v) => Math.round(v));
  const words = `Blob ${id}${name ? `, ${name}` : ""}, at ${px}, ${py}, ${Math.round(blob.size)} pixels`;
  const [hx, hy] = [radius * HANDLE, radius * HANDLE];
  return html`
    <g
      class=${chosen ? "blob chosen" : "blob"}
      data-own
      tabindex="0"
      role="button"
      aria-label=${words}
      aria-pressed=${chosen}
      transform=${`translate(${Math.round(x * 10) / 10} ${Math.round(y * 10) / 10})`}
      onPointerDown=${down}
      onPointerMove=${move}
      onPointerUp=${up}
      onPointerCancel=${up}
      onWheel=${wheel}
      onKeyDown=${key}
      onFocus=${choose}
    >
      <circle class="casing" r=${radius} />
      <circle class="rim" r=${radius} />
      <circle class="halo" r="10.5" />
      <circle class="dot" r="9" />
      <text y="0.5">${id}</text>
      <circle class="size" cx=${hx} cy=${hy} r="6.5" />
      ${
        name &&
        html`
          <text class="name" y=${-14}>${name}</text>
        `
      }
    </g>
  `;
}
