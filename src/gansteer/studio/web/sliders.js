// Attributes: one slider each, with a value to type, a way back and a lock that holds it while others move.

import { icon } from "./icons.js";
import { present, running } from "./state.js";
import { html, useEffect, useState } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{name: string, value: number, low: number, high: number, method: string}} Slider */

const TOGETHER = 1500; // ms within which moves of one slider are one entry of the history

/** The attributes of the present picture; null while the answer is on its way.
 * @param {Studio} studio @returns {Slider[] | null} */
export function useSliders(studio) {
  const [known, setKnown] = useState(/** @type {Slider[] | null} */ (null));
  const { session } = studio.state;
  const node = session?.run ? null : (session?.current ?? null);
  useEffect(() => {
    if (node == null || studio.state.link !== "open") return undefined;
    let here = true;
    studio.ask("directions", {}, node).then(
      (answer) => here && setKnown(answer),
      () => here && setKnown([]),
    );
    return () => {
      here = false;
    };
  }, [node, studio.state.link]);
  return known;
}

/** @type {Record<string, string>} */
const WORDS = { yaw: "Turn", pitch: "Nod", roll: "Tilt" };

/** A word of the library's as a label.
 * @type {(name: string) => string} */
export const label = (name) =>
  WORDS[name] ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ").replaceAll("-", " ");

/** One slider being moved: what is sent, newest only, and where it goes in the history. */
class Moving {
  /** @param {Studio} studio @param {string} name @param {number} base */
  constructor(studio, name, base) {
    this.studio = studio;
    this.name = name;
    this.base = base;
    this.until = 0;
    /** @type {number | null} */
    this.wanted = null;
    /** @type {string[]} */
    this.hold = [];
    this.busy = false;
  }

  /** @param {number} value @param {string[]} hold */
  to(value, hold) {
    this.wanted = value;
    this.hold = hold.filter((name) => name !== this.name);
    this.until = Date.now() + TOGETHER;
    this.send();
  }

  /** Send what is wanted as soon as the last one is done. */
  send() {
    const { session } = this.studio.state;
    if (this.wanted == null || !session || session.run || this.busy) return;
    const edit = { kind: "attribute", change: { [this.name]: this.wanted }, hold: this.hold, absolute: true };
    const made = session.current !== this.base ? session.current : null;
    this.busy = this.studio.send({ type: "start", edit, node: this.base, ...(made == null ? {} : { replacing: made }) });
    this.wanted = null;
  }

  /** The server has answered. */
  told() {
    if (this.studio.state.session?.run) return;
    this.busy = false;
    this.send();
  }
}

/** @param {{studio: Studio}} props */
export function Sliders({ studio }) {
  const { state } = studio;
  const sliders = useSliders(studio);
  const [moved, setMoved] = useState(/** @type {Record<string, number>} */ ({}));
  const [moving, setMoving] = useState(/** @type {Moving | null} */ (null));
  const { session, locks } = state;
  useEffect(() => moving?.told(), [session]);
  useEffect(() => setMoved({}), [sliders]);
  if (!sliders) return html`<p class="muted">One moment …</p>`;
  if (!sliders.length) return html`<p class="muted">No attributes are known for this model yet. They are found with <code>gansteer directions</code>.</p>`;
  const busy = running(state) && present(state)?.kind !== "attribute";
  /** @param {string} name @param {number} value */
  const move = (name, value) => {
    if (Number.isNaN(value) || session?.current == null) return;
    const same = moving && moving.name === name && Date.now() < moving.until;
    const next = same ? moving : new Moving(studio, name, session.current);
    if (!same) setMoving(next);
    setMoved({ ...moved, [name]: value });
    next.to(value, locks);
  };
  /** @param {string} name */
  const lock = (name) => studio.store.set({ locks: locks.includes(name) ? locks.filter((one) => one !== name) : [...locks, name] });
  return html`<div class="stack wide"><div class="stack"><h2>Sliders</h2>
    <p class="muted">A lock holds an attribute while others move.</p></div>
    <ul class="stack">${sliders.map((slider) => html`<${Row} key=${slider.name} slider=${slider} value=${moved[slider.name] ?? slider.value}
      locked=${locks.includes(slider.name)} disabled=${busy} move=${(/** @type {number} */ value) => move(slider.name, value)} lock=${() => lock(slider.name)}
      start=${startOf(studio, slider)} />`)}</ul></div>`;
}

/** The values that pictures had when their sliders were first seen, by the root of their tree.
 * @type {Map<string, number>} */
const firsts = new Map();

/** Where a reset goes: the value that the first picture of this tree had.
 * @type {(studio: Studio, slider: Slider) => number} */
function startOf(studio, slider) {
  const nodes = studio.state.session?.nodes ?? [];
  let node = present(studio.state);
  while (node?.parent != null) node = nodes.find((/** @type {import("./protocol").NodeInfo} */ one) => one.id === node?.parent);
  const key = `${studio.wire.session} ${node?.id} ${slider.name}`;
  if (!firsts.has(key)) firsts.set(key, slider.value);
  return /** @type {number} */ (firsts.get(key));
}

/** @param {{slider: Slider, value: number, locked: boolean, disabled: boolean, move: (value: number) => void, lock: () => void, start: number}} props */
function Row({ slider, value, locked, disabled, move, lock, start }) {
  const { name, low, high } = slider;
  const words = label(name);
  const [text, setText] = useState(/** @type {string | null} */ (null));
  const fixed = disabled || locked;
  /** @param {Event} event */
  const typed = (event) => {
    const { valueAsNumber } = /** @type {HTMLInputElement} */ (event.target);
    setText(null);
    move(Math.min(high, Math.max(low, valueAsNumber)));
  };
  return html`<li class="slider"><div class="row"><span class="grow">${words}</span>
      <input type="number" class="value" aria-label=${`${words}, value`} min=${low} max=${high} step="0.1" disabled=${fixed} value=${text ?? value.toFixed(1)}
        onInput=${(/** @type {Event} */ event) => setText(/** @type {HTMLInputElement} */ (event.target).value)} onChange=${typed} />
      <button class="icon small" disabled=${fixed || Math.abs(value - start) < 0.05} aria-label=${`${words}: back to the start`} title="Back to the start" onClick=${() => move(start)}>${icon("reset")}</button>
      <button class="icon small" aria-pressed=${locked} aria-label=${`Hold ${words}`} title="Hold while others move" onClick=${lock}>${icon(locked ? "lock" : "unlock")}</button></div>
    <input type="range" aria-label=${words} min=${low} max=${high} step="0.1" value=${value} disabled=${fixed}
      onInput=${(/** @type {Event} */ event) => move(/** @type {HTMLInputElement} */ (event.target).valueAsNumber)} /></li>`;
}
