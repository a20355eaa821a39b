// What is taken of a photo, shown and adjusted before the studio begins to rebuild it.

import { copies, corners, largest, place, proper, reaching, SMALLEST, STEEPEST } from "./crop.js";
import { distance } from "./geometry.js";
import { num, Range } from "./controls.js";
import { bring } from "./photos.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { duration, sentence } from "./words.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {import("./crop.js").Crop} Crop */
/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./protocol").Sight} Sight */
/** @typedef {import("./protocol").CostInfo} Cost */

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const FINE = 128; // pixels of the small picture of what is taken

/** @type {{tuning: string, words: string, what: string}[]} */
const AIMS = [
  { tuning: "light", words: "Most alike", what: "The model itself is adjusted to the photo." },
  {
    tuning: "none",
    words: "Easy to edit",
    what: "The nearest that the model knows by itself; sliders and drags work best on it.",
  },
];

/** @param {{studio: Studio}} props */
export function Align({ studio }) {
  const { file, sight } = /** @type {{file: File, sight: Sight}} */ (studio.state.sight);
  const [crop, setCrop] = useState(sight.crops[0]);
  const [tuning, setTuning] = useState("light");
  const set = (/** @type {Partial<Crop>} */ change) => setCrop(proper({ ...crop, ...change }, sight));
  const aim = AIMS.find((one) => one.tuning === tuning) ?? AIMS[0];
  const begin = () => {
    studio.store.set({ dialog: null });
    bring(studio, file, crop, tuning);
  };
  return html`
    <div class="align">
      <${Photo} sight=${sight} crop=${crop} set=${set} />
      <div class="stack wide">
        <div class="row">
          <${Taken} sight=${sight} crop=${crop} />
          <p class="grow muted">${found(sight)}</p>
        </div>
        ${
          sight.faces > 1 &&
          html`
            <div class="segmented" role="group" aria-label="What to take">
              ${sight.crops.map(
                (one, i) => html`
                  <button key=${i} aria-pressed=${near(one, crop)} onClick=${() => setCrop(one)}>
                    ${i < sight.faces ? `Face ${i + 1}` : "Middle"}
                  </button>
                `,
              )}
            </div>
          `
        }
        <div class="stack">
          <label class="field">
            Size
            <input
              type="range"
              min=${Math.log(SMALLEST)}
              max=${Math.log(largest(sight))}
              step="0.01"
              value=${Math.log(crop.size)}
              aria-valuetext=${`${Math.round(crop.size)} pixels`}
              onInput=${num((value) => set({ size: Math.exp(value) }))}
            />
          </label>
          <${Range}
            label="Turn"
            shown=${`${String(Math.round(crop.angle)).replace("-", "−")}°`}
            min=${-STEEPEST}
            max=${STEEPEST}
            step="1"
            value=${crop.angle}
            use=${(/** @type {number} */ angle) => set({ angle })}
          />
        </div>
        <div class="stack">
          <div class="segmented" role="group" aria-label="Aim">
            ${AIMS.map(
              (one) => html`
                <button key=${one.tuning} aria-pressed=${one === aim} onClick=${() => setTuning(one.tuning)}>
                  ${one.words}
                </button>
              `,
            )}
          </div>
          <p class="muted">${aim.what}</p>
        </div>
        <div class="stack begin">
          <p class="cost">
            ${cost(sight.costs[tuning])}${" "}
            <span class="muted">Stop whenever it is good enough.</span>
          </p>
          <div class="row">
            <button class="primary" autofocus onClick=${begin}>Begin</button>
            <button onClick=${() => studio.store.set({ dialog: null })}>Cancel</button>
          </div>
        </div>
      </div>
    </div>
  `;
}

/** @type {(sight: Sight) => string} */
const found = ({ faces, note }) =>
  faces === 0
    ? `${sentence(note)} Put the square where it belongs.`
    : faces === 1
      ? "One face was found. This is what is taken of the photo."
      : `${faces} faces were found. This is what is taken of the photo.`;

/** @type {(a: Crop, b: Crop) => boolean} */
const near = (a, b) => distance([a.x, a.y], [b.x, b.y]) < 0.02 * a.size && Math.abs(a.size - b.size) < 0.02 * a.size;

/** @type {(cost: Cost | undefined) => string} */
function cost(cost) {
  if (!cost) return "";
  const { seconds, memory, size } = cost;
  const [meanwhile, kept] = [Math.round(memory / 1e6), (size / 1e6).toFixed(1)];
  return `About ${duration(seconds)}, ${meanwhile} MB of memory meanwhile, and ${kept} MB to keep.`;
}

/** The photo with the square on it, which is moved by pointer or by keys.
 * @param {{sight: Sight, crop: Crop, set: (change: Partial<Crop>) => void}} props */
function Photo({ sight, crop, set }) {
  const { width, height } = sight;
  /** @type {import("./vendor/preact.js").Ref<HTMLElement>} */
  const box = useRef(null);
  /** @type {import("./vendor/preact.js").Ref<{corner: boolean, from: Point, crop: Crop, moved: boolean} | null>} */
  const held = useRef(null);
  const at = (/** @type {PointerEvent} */ event) => {
    const { left, top, width: wide } = box.current.getBoundingClientRect();
    const scale = width / wide;
    return /** @type {Point} */ ([(event.clientX - left) * scale - 0.5, (event.clientY - top) * scale - 0.5]);
  };
  const others = sight.crops.slice(0, sight.faces).filter((one) => !near(one, crop));
  /** @param {PointerEvent} event */
  const down = (event) => {
    const from = at(event);
    const reach = (22 * width) / box.current.getBoundingClientRect().width;
    box.current.setPointerCapture(event.pointerId);
    held.current = { corner: corners(crop).some((point) => distance(point, from) < reach), from, crop, moved: false };
  };
  /** @param {PointerEvent} event */
  const move = (event) => {
    const { current } = held;
    if (!current) return;
    const here = at(event);
    current.moved ||= distance(here, current.from) > (3 * width) / box.current.getBoundingClientRect().width;
    if (!current.moved) return;
    if (current.corner) set({ size: reaching(crop, here) });
    else set({ x: current.crop.x + here[0] - current.from[0], y: current.crop.y + here[1] - current.from[1] });
  };
  const up = () => {
    const { current } = held;
    held.current = null;
    if (!current || current.moved || current.corner || reaching(crop, current.from) <= crop.size) return;
    const [x, y] = current.from; // a click beside the square takes another face, or brings the square there
    set(others.find((one) => reaching(one, current.from) <= one.size) ?? { x, y });
  };
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    const step = (crop.size / 100) * (event.shiftKey ? 8 : 1);
    const arrow = ARROWS[/** @type {keyof typeof ARROWS} */ (event.key)];
    if (arrow) set({ x: crop.x + arrow[0] * step, y: crop.y + arrow[1] * step });
    else if (event.key === "+" || event.key === "=") set({ size: crop.size * 1.05 });
    else if (event.key === "-") set({ size: crop.size / 1.05 });
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const line = (/** @type {Crop} */ one) =>
    `M${corners(one)
      .map(([x, y]) => `${x + 0.5} ${y + 0.5}`)
      .join("L")}Z`;
  return html`
    <div
      class="photo"
      ref=${box}
      tabindex="0"
      role="application"
      style=${{ aspectRatio: `${width} / ${height}`, "--shape": width / height }}
      aria-label="The photo. Arrow keys move the square that is taken, plus and minus change its size."
      onPointerDown=${down}
      onPointerMove=${move}
      onPointerUp=${up}
      onPointerCancel=${up}
      onKeyDown=${key}
    >
      <img src=${sight.preview} alt="" draggable=${false} />
      <svg viewBox=${`0 0 ${width} ${height}`} aria-hidden="true">
        <path class="rest" fill-rule="evenodd" d=${`M0 0H${width}V${height}H0Z${line(crop)}`} />
        ${others.map(
          (one) => html`
            <path class="other" d=${line(one)} />
          `,
        )}
        <path class="casing" d=${line(crop)} />
        <path class="taken" d=${line(crop)} />
      </svg>
      ${corners(crop).map(
        ([x, y], i) => html`
          <span
            key=${i}
            class="knob"
            style=${{ left: `${((x + 0.5) / width) * 100}%`, top: `${((y + 0.5) / height) * 100}%` }}
          ></span>
        `,
      )}
    </div>
  `;
}

/** What is taken, upright.
 * @param {{sight: Sight, crop: Crop}} props */
function Taken({ sight, crop }) {
  /** @type {import("./vendor/preact.js").Ref<HTMLCanvasElement>} */
  const ref = useRef(null);
  const [picture, setPicture] = useState(/** @type {HTMLImageElement | null} */ (null));
  useEffect(() => {
    const image = new Image();
    image.onload = () => setPicture(image);
    image.src = sight.preview;
  }, [sight]);
  useEffect(() => {
    const context = ref.current.getContext("2d");
    if (!context || !picture) return;
    const scale = FINE / crop.size;
    const [x, y] = place(crop, [0, 0]);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, FINE, FINE);
    context.imageSmoothingQuality = "high";
    context.translate(FINE / 2, FINE / 2);
    context.rotate((-crop.angle * Math.PI) / 180);
    context.scale(scale, scale);
    context.translate(-x - 0.5, -y - 0.5);
    const [wide, high, lap] = [sight.width, sight.height, 0.5 / scale]; // copies overlap, or a seam would shine through
    for (const [i, j] of copies(crop, sight)) {
      context.save();
      context.translate((i + (i & 1)) * wide, (j + (j & 1)) * high);
      context.scale(i & 1 ? -1 : 1, j & 1 ? -1 : 1);
      context.drawImage(picture, -lap, -lap, wide + 2 * lap, high + 2 * lap);
      context.restore();
    }
  }, [picture, crop]);
  return html`
    <canvas
      class="small-picture"
      ref=${ref}
      width=${FINE}
      height=${FINE}
      role="img"
      aria-label="What is taken of the photo, upright"
    ></canvas>
  `;
}
