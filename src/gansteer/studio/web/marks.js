// What is drawn over the picture: paint, the way of every handle, handles and targets, the brush and the cross.

import { distance, toPicture, toStage } from "./geometry.js";
import { border, FREE, mask } from "./paint.js";
import { called, pointing, under } from "./parts.js";
import { waiting } from "./points.js";
import { draftOf, running, traceOf } from "./state.js";
import { html, useLayoutEffect, useRef } from "./vendor/preact.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./look.js").Look} Look */
/** @typedef {import("./points.js").Pair} Pair */

/** @param {{studio: import("./studio.js").Studio, look: Look, hover: Point | null, corner: Point | null}} props */
export function Marks({ studio, look, hover, corner }) {
  const { state } = studio;
  const draft = draftOf(state);
  const elsewhere = state.tab === "area" && state.tool !== "points" && !running(state); // Start is about the area there
  const placed = elsewhere ? [] : draft.pairs;
  const pairs = running(state) || !state.live ? moving(state, placed) : placed;
  const cross = state.cross && toStage(look.view, state.cross);
  const open = waiting(pairs);
  const tip = cross ?? hover;
  const painting = state.tool !== "points" && state.shape !== "part" && !running(state);
  const points = pointing(state) && tip;
  const part = points ? under(state.parts.list, state.cross ?? toPicture(look.view, tip), look.side) : null;
  return html`
    <${Paint}
      look=${look}
      paint=${draft.paint}
      area=${draft.area}
      result=${isResult(state)}
      opacity=${state.opacity * (running(state) ? 0.4 : 1)}
    />
    ${
      part &&
      html`
        <${Lit} look=${look} part=${part} />
      `
    }
    <svg
      class="marks"
      style=${{ left: `${look.left}px` }}
      width=${look.pane.width}
      height=${look.pane.height}
      role="group"
      aria-label="Points"
    >
      ${
        !elsewhere &&
        trails(state).map(
          (points) => html`
            <polyline class="trail" points=${points.map((p) => toStage(look.view, p).map(round).join(",")).join(" ")} />
          `,
        )
      }
      ${
        open &&
        tip &&
        html`
          <${Arrow} from=${toStage(look.view, open.from)} to=${tip} loose />
        `
      }
      ${pairs.map(
        (pair) =>
          pair.to &&
          html`
            <${Arrow} from=${toStage(look.view, pair.from)} to=${toStage(look.view, pair.to)} />
          `,
      )}
      ${pairs.map(
        (pair, i) => html`
          <${End} key=${`${pair.id}-from`} look=${look} pair=${pair} end="from" number=${i + 1} />
        `,
      )}
      ${pairs.map(
        (pair, i) =>
          pair.to &&
          html`
            <${End} key=${`${pair.id}-to`} look=${look} pair=${pair} end="to" number=${i + 1} />
          `,
      )}
      ${
        painting &&
        corner &&
        tip &&
        html`
          <${Outline} state=${state} a=${toStage(look.view, corner)} b=${tip} />
        `
      }
      ${
        painting &&
        tip &&
        html`
          <${Tip} state=${state} at=${tip} scale=${look.view.scale} />
        `
      }
      ${
        cross &&
        html`
          <path class="cross" d=${`M${cross[0] - 14} ${cross[1]}h28M${cross[0]} ${cross[1] - 14}v28`} />
        `
      }
    </svg>
    ${
      points &&
      (part || !state.parts.list) &&
      html`
        <span
          class=${tip[0] > look.pane.width * 0.7 ? "hint left" : "hint"}
          aria-hidden="true"
          style=${{ left: `${look.left + tip[0]}px`, top: `${tip[1]}px` }}
        >
          ${part ? called(part) : "Looking at the picture …"}
        </span>
      `
    }
    ${
      state.cross &&
      html`
        <span class="unseen" aria-live="polite">${part ? called(part) : state.cross.join(", ")}</span>
      `
    }
  `;
}

const round = (/** @type {number} */ v) => Math.round(v * 10) / 10;

/** The pairs with handles where the edit in progress has them.
 * @type {(state: import("./state.js").State, pairs: Pair[]) => Pair[]} */
function moving(state, pairs) {
  const trace = running(state) ? traceOf(state) : undefined;
  if (!trace) return pairs;
  let i = 0;
  return pairs.map((pair) => (pair.to && trace.points[i] ? { ...pair, from: trace.points[i++] } : pair));
}

/** Where every handle has been.
 * @type {(state: import("./state.js").State) => Point[][]} */
function trails({ traces }) {
  const count = traces[0]?.points.length ?? 0;
  return Array.from({ length: count }, (_, i) => traces.flatMap(({ points }) => (points[i] ? [points[i]] : [])));
}

/** @param {{from: Point, to: Point, loose?: boolean}} props */
function Arrow({ from, to, loose }) {
  const long = distance(from, to);
  if (long < 16) return null;
  const [ux, uy] = [(to[0] - from[0]) / long, (to[1] - from[1]) / long];
  const end = [to[0] - ux * 11, to[1] - uy * 11];
  const start = [from[0] + ux * 10, from[1] + uy * 10];
  const wing = (/** @type {number} */ turn) => `${end[0] - 7 * (ux + turn * uy)} ${end[1] - 7 * (uy - turn * ux)}`;
  const d = `M${start[0]} ${start[1]}L${end[0]} ${end[1]}M${wing(0.7)}L${end[0]} ${end[1]}L${wing(-0.7)}`;
  return html`
    <path class="casing" d=${d} />
    <path class=${loose ? "arrow loose" : "arrow"} d=${d} />
  `;
}

/** A handle or a target: something that can have the focus.
 * @param {{look: Look, pair: Pair, end: "from" | "to", number: number}} props */
function End({ look, pair, end, number }) {
  const point = /** @type {Point} */ (pair[end]);
  const [x, y] = toStage(look.view, point);
  const [px, py] = point.map((v) => Math.round(v));
  const words = `${end === "from" ? "Point" : "Target of point"} ${number}, at ${px}, ${py}`;
  return html`
    <g
      class=${`end ${end}`}
      tabindex="0"
      role="button"
      aria-label=${words}
      data-end=${`${pair.id}-${end}`}
      transform=${`translate(${round(x)} ${round(y)})`}
    >
      <circle class="reach" r="15" />
      <circle class="halo" r=${end === "from" ? 10.5 : 9.5} />
      <circle class="dot" r=${end === "from" ? 9 : 7.5} />
      ${
        end === "from" &&
        html`
          <text y="0.5">${number}</text>
        `
      }
    </g>
  `;
}

/** The brush, as large as what it paints.
 * @param {{state: import("./state.js").State, at: Point, scale: number}} props */
function Tip({ state, at, scale }) {
  const [x, y] = at;
  if (state.shape !== "brush")
    return html`
      <path class="tip" d=${`M${x - 9} ${y}h18M${x} ${y - 9}v18`} />
    `;
  const r = Math.max(3, state.radius * scale);
  return html`
    <circle class="casing" cx=${x} cy=${y} r=${r} />
    <circle class=${`tip ${state.tool}`} cx=${x} cy=${y} r=${r} />
  `;
}

/** The shape that a second click would paint.
 * @param {{state: import("./state.js").State, a: Point, b: Point}} props */
function Outline({ state, a, b }) {
  const [x, y, w, h] = [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
  if (state.shape === "ellipse")
    return html`
      <ellipse class="tip" cx=${x + w / 2} cy=${y + h / 2} rx=${w / 2} ry=${h / 2} />
    `;
  return html`
    <rect class="tip" x=${x} y=${y} width=${w} height=${h} />
  `;
}

/** Whether the area is that of the edit that made the present picture, which it must not hide.
 * @type {(state: import("./state.js").State) => boolean} */
const isResult = (state) =>
  state.session?.edit?.kind === "intervention" &&
  !state.trails[/** @type {number} */ (state.session.current)]?.past.length;

/** What stays is hatched, an area is outlined and tinted.
 * @param {{look: Look, paint: import("./paint.js").Layer, area: import("./paint.js").Layer, result: boolean, opacity: number}} props */
function Paint({ look, paint, area, result, opacity }) {
  /** @type {Draw} */
  const draw = (context, place) => {
    const held = mask(paint)?.map((value) => 1 - value);
    if (held) lay(context, held, place, hatched);
    if (!area.includes(FREE)) return;
    if (!result) lay(context, area, place, tinted);
    outline(context, area, place);
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[paint, area, result]} opacity=${opacity} />
  `;
}

/** The part that a click would take.
 * @param {{look: Look, part: import("./parts.js").Part}} props */
function Lit({ look, part }) {
  /** @type {Draw} */
  const draw = (context, place) => {
    lay(context, part.layer, place, lit);
    outline(context, part.layer, place);
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[part]} />
  `;
}

/** @typedef {(context: CanvasRenderingContext2D, place: Place) => void} Draw */

/** A canvas over the pane at the screen's own resolution, cut out by the layers; drawn anew when the view or one of `of`
 * has changed, of which there are always as many.
 * @param {{look: Look, draw: Draw, of: unknown[], opacity?: number}} props */
function Sheet({ look, draw, of, opacity }) {
  /** @type {import("./vendor/preact.js").Ref<HTMLCanvasElement>} */
  const ref = useRef(null);
  const { width, height } = look.pane;
  const { scale, x, y } = look.view;
  const dense = globalThis.devicePixelRatio || 1;
  useLayoutEffect(() => {
    const context = ref.current.getContext("2d");
    if (!context || !width) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, ref.current.width, ref.current.height);
    draw(context, { dense, scale, x, y, width, height });
  }, [...of, width, height, scale, x, y, dense]);
  return html`
    <canvas
      class="paint"
      ref=${ref}
      aria-hidden="true"
      width=${Math.round(width * dense)}
      height=${Math.round(height * dense)}
      style=${{ left: `${look.left}px`, width: `${width}px`, height: `${height}px`, opacity }}
    ></canvas>
  `;
}

/** @typedef {{dense: number, scale: number, x: number, y: number, width: number, height: number}} Place */

/** Draw `how` where `layer` isn't 0.
 * @param {CanvasRenderingContext2D} context @param {import("./paint.js").Layer} layer @param {Place} place
 * @param {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} how */
function lay(context, layer, place, how) {
  const side = Math.sqrt(layer.length);
  const stencil = new OffscreenCanvas(side, side);
  const pixels = new ImageData(side, side);
  layer.forEach((value, i) => (pixels.data[4 * i + 3] = value ? 255 : 0));
  stencil.getContext("2d")?.putImageData(pixels, 0, 0);
  const sheet = new OffscreenCanvas(context.canvas.width, context.canvas.height);
  const drawn = sheet.getContext("2d");
  if (!drawn) return;
  how(drawn, place);
  drawn.globalCompositeOperation = "destination-in";
  drawn.setTransform(place.dense, 0, 0, place.dense, 0, 0);
  drawn.imageSmoothingQuality = "high";
  drawn.drawImage(stencil, place.x, place.y, side * place.scale, side * place.scale);
  context.drawImage(sheet, 0, 0);
}

/** A line around where `layer` isn't 0.
 * @param {CanvasRenderingContext2D} context @param {import("./paint.js").Layer} layer @param {Place} place */
function outline(context, layer, { dense, scale, x, y }) {
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.lineCap = "round";
  context.beginPath();
  for (const [ax, ay, bx, by] of border(layer)) {
    context.moveTo((ax + 0.5) * scale + x, (ay + 0.5) * scale + y);
    context.lineTo((bx + 0.5) * scale + x, (by + 0.5) * scale + y);
  }
  for (const [colour, wide] of /** @type {[string, number][]} */ ([
    ["rgb(18 20 28 / 55%)", 3.5],
    ["#fff", 1.75],
  ])) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.stroke();
  }
}

/** @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
function hatched(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(18 20 28 / 52%)";
  context.fillRect(0, 0, width, height);
  context.strokeStyle = "rgb(255 255 255 / 55%)";
  context.lineWidth = 1.2;
  context.beginPath();
  for (let x = -height; x < width; x += 9) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
}

/** @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
function lit(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(60 84 255 / 26%)";
  context.fillRect(0, 0, width, height);
}

/** @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
function tinted(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(60 84 255 / 50%)";
  context.fillRect(0, 0, width, height);
}
