// Attributes: one slider each, with a value to type, a way back and a lock that holds it while others move.

import { useSliders } from "../attributes.js";
import { num } from "../controls.js";
import { icon } from "../icons.js";
import { present, running } from "../state.js";
import { NumberField } from "../typed.js";
import { html, useEffect, useState } from "../vendor/preact.js";
import { label, poles, turned, unnamed } from "../words.js";

/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {import("../attributes.js").Slider} Slider */

const TOGETHER = 1500; // ms within which moves of one slider are one entry of the history
const PATIENCE = 5000; // ms after which an answer that has not come is no longer waited for

/** @type {import("./index.js").Kind} */
export const sliders = { tab: "sliders", label: "Sliders", needs: "attribute", Panel, title: turned };

/** Sliders being moved: of many values the newest is sent as soon as the last is done, and those of one move are one
 * entry of the history. */
class Mover {
  /** @param {Studio} studio */
  constructor(studio) {
    this.studio = studio;
    this.name = "";
    /** The picture that the present move began with. @type {number | null} */
    this.base = null;
    /** @type {{name: string, value: number, hold: string[]} | null} */
    this.wanted = null;
    /** The picture that there was when the last value was sent, until another comes. @type {number | null} */
    this.sent = null;
    this.when = 0;
    /** Whether a slider is held by a pointer. */
    this.held = false;
    this.until = 0;
  }

  get busy() {
    return this.sent != null && (running(this.studio.state) || Date.now() < this.when + PATIENCE);
  }

  /** @param {string} name @param {number} value @param {string[]} hold */
  to(name, value, hold) {
    this.wanted = { name, value, hold: hold.filter((one) => one !== name) };
    const same = name === this.name && (this.held || this.busy || Date.now() < this.until);
    if (!same) this.base = null;
    this.name = name;
    this.rest();
    this.send();
  }

  /** For a while yet, moves of this slider belong together. */
  rest() {
    this.until = Date.now() + TOGETHER;
    this.studio.store.set({ turning: true });
    clearTimeout(this.timer);
    this.timer = setTimeout(
      () => (this.held || this.busy ? this.rest() : this.studio.store.set({ turning: false })),
      TOGETHER,
    );
  }

  /** Send what is wanted, unless the last is on its way. */
  send() {
    const { session } = this.studio.state;
    if (!this.wanted || session?.current == null || session.run || this.busy) return;
    const { name, value, hold } = this.wanted;
    this.base ??= session.current;
    const edit = { kind: sliders.needs, change: { [name]: value }, hold, absolute: true };
    const made = session.current !== this.base ? { replacing: session.current } : {};
    if (this.studio.send({ type: "start", edit, node: this.base, ...made })) {
      this.sent = session.current;
      this.when = Date.now();
    }
    this.wanted = null;
  }

  /** The session is another. */
  told() {
    const { session } = this.studio.state;
    if (session?.run || session?.current === this.sent) return;
    this.sent = null;
    this.send();
  }

  /** What was sent was refused. */
  refused() {
    this.sent = this.base = this.wanted = null;
  }
}

/** @param {{studio: Studio}} props */
function Panel({ studio }) {
  const { state } = studio;
  const known = useSliders(studio);
  const [moved, setMoved] = useState(/** @type {Record<string, number>} */ ({}));
  const [mover] = useState(() => new Mover(studio));
  const { session, locks, notice } = state;
  useEffect(() => mover.told(), [session]);
  useEffect(() => {
    if (notice?.kind === "bad") mover.refused();
  }, [notice]);
  useEffect(() => {
    if (!mover.held && !mover.wanted) setMoved({});
  }, [known]);
  if (!known)
    return html`
      <p class="muted">One moment …</p>
    `;
  if (!known.length)
    return html`
      <p class="muted">
        No attributes are known for this model yet. They are found with${" "}
        <code>gansteer directions</code>
        .
      </p>
    `;
  const busy = running(state) && present(state)?.kind !== sliders.needs;
  /** @param {string} name @param {number} value */
  const move = (name, value) => {
    if (Number.isNaN(value) || session?.current == null) return;
    setMoved({ ...moved, [name]: value });
    mover.to(name, value, locks);
  };
  const hold = (/** @type {boolean} */ held) => () => (mover.held = held);
  /** @param {string} name */
  const lock = (name) =>
    studio.store.set({ locks: locks.includes(name) ? locks.filter((one) => one !== name) : [...locks, name] });
  const list = (/** @type {Slider[]} */ some) => html`
    <ul class="stack" onPointerDown=${hold(true)} onPointerUp=${hold(false)} onPointerCancel=${hold(false)}>
      ${some.map(
        (slider) => html`
          <${Row}
            key=${slider.name}
            slider=${slider}
            value=${moved[slider.name] ?? slider.value}
            locked=${locks.includes(slider.name)}
            disabled=${busy}
            move=${(/** @type {number} */ value) => move(slider.name, value)}
            lock=${() => lock(slider.name)}
            start=${startOf(studio, slider)}
          />
        `,
      )}
    </ul>
  `;
  const [named, others] = [known.filter(({ name }) => !unnamed(name)), known.filter(({ name }) => unnamed(name))];
  return html`
    <div class="stack wide">
      <div class="stack">
        <h2>Sliders</h2>
        <p class="muted">A lock holds an attribute while others move.</p>
      </div>
      ${named.length > 0 && list(named)}
      ${
        others.length > 0 &&
        html`
          <details open=${!named.length}>
            <summary>${others.length} more, without names</summary>
            <div class="stack">
              <p class="muted">The model varies along these by itself. Move one to see what it does.</p>
              ${list(others)}
            </div>
          </details>
        `
      }
    </div>
  `;
}

/** The values that pictures had when their sliders were first seen, by the root of their tree.
 * @type {Map<string, number>} */
const firsts = new Map();

/** Where a reset goes: the value that the first picture of this tree had.
 * @type {(studio: Studio, slider: Slider) => number} */
function startOf(studio, slider) {
  const nodes = studio.state.session?.nodes ?? [];
  const parents = new Map(nodes.map(({ id, parent }) => [id, parent]));
  let root = studio.state.session?.current ?? 0;
  for (let parent = parents.get(root); parent != null; parent = parents.get(root)) root = parent;
  const key = `${studio.wire.session} ${root} ${slider.name}`;
  if (!firsts.has(key)) firsts.set(key, slider.value);
  return /** @type {number} */ (firsts.get(key));
}

/** @param {{slider: Slider, value: number, locked: boolean, disabled: boolean, move: (value: number) => void,
 *   lock: () => void, start: number}} props */
function Row({ slider, value, locked, disabled, move, lock, start }) {
  const { name, low, high } = slider;
  const words = label(name);
  const ends = poles(name);
  const fixed = disabled || locked;
  return html`
    <li class="slider">
      <div class="row">
        <span class="grow">${words}</span>
        <${NumberField}
          class="value"
          aria-label=${`${words}, value`}
          min=${low}
          max=${high}
          step="0.1"
          disabled=${fixed}
          value=${(Math.round(10 * value) / 10 || 0).toFixed(1)}
          use=${(/** @type {number} */ typed) => move(Math.min(high, Math.max(low, typed)))}
        />
        <button
          class="icon small"
          disabled=${fixed || Math.abs(value - start) < 0.05}
          aria-label=${`${words}: back to the start`}
          title="Back to the start"
          onClick=${() => move(start)}
        >
          ${icon("reset")}
        </button>
        <button
          class="icon small"
          aria-pressed=${locked}
          aria-label=${`Hold ${words}`}
          title="Hold while others move"
          onClick=${lock}
        >
          ${icon(locked ? "lock" : "unlock")}
        </button>
      </div>
      <input
        type="range"
        aria-label=${ends ? `${words}, from ${ends[0]} to ${ends[1]}` : words}
        min=${low}
        max=${high}
        step="0.1"
        value=${value}
        disabled=${fixed}
        onInput=${num(move)}
      />
      ${
        ends &&
        html`
          <div class="poles muted" aria-hidden="true">
            <span>${ends[0]}</span>
            <span>${ends[1]}</span>
          </div>
        `
      }
    </li>
  `;
}
