// Canvases over the picture, as fine as the screen, that show layers of pixels: hatched, tinted, outlined.

import { border } from "./paint.js";
import { html, useLayoutEffect, useRef } from "./vendor/preact.js";

/** @typedef {import("./look.js").Look} Look */
/** @typedef {(context: CanvasRenderingContext2D, place: Place) => void} Draw */

/** A canvas over the pane at the screen's own resolution, cut out by the layers; drawn anew when the view or one of
 * `of` has changed, of which there are always as many.
 * @param {{look: Look, draw: Draw, of: unknown[], opacity?: number}} props */
export function Sheet({ look, draw, of, opacity }) {
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
export function lay(context, layer, place, how) {
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
export function outline(context, layer, { dense, scale, x, y }) {
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
export function hatched(context, { dense, width, height }) {
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

/** What was painted to stay, over the hatching of what stays because of that or of something else.
 * @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
export function pinned(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(226 88 34 / 42%)";
  context.fillRect(0, 0, width, height);
}

/** @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
export function lit(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(60 84 255 / 26%)";
  context.fillRect(0, 0, width, height);
}

/** @type {(context: OffscreenCanvasRenderingContext2D, place: Place) => void} */
export function tinted(context, { dense, width, height }) {
  context.scale(dense, dense);
  context.fillStyle = "rgb(0 150 136 / 50%)";
  context.fillRect(0, 0, width, height);
}
