// Blobs being moved: what is wanted of a picture's layout, sent as edits of which the newest counts.
//
// While a blob is held, or changed again and again within a moment, every edit takes the place of the one before, so
// that the picture follows and the history has one entry. Blobs are shown where they are wanted, whatever is on its
// way.

import { running } from "../state.js";

/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {import("../geometry.js").Point} Point */
/**
 * @typedef {object} Blob  of the present picture, as the studio tells it
 * @property {number} x  centre, in pixels of the picture
 * @property {number} y
 * @property {number} size  pixels from the centre at which the heatmap has fallen to one half
 * @property {boolean} there  false for a hidden one
 * @property {number} level
 * @property {number | null} parent  the one that takes it along
 */
/** @typedef {{moves?: Record<number, Point>, resizes?: Record<number, number>, restyles?: Record<number, number>,
 *   removes?: number[], shows?: number[], deletes?: number[], duplicates?: number[],
 *   adds?: {x: number, y: number, size?: number, style: number}[]}} Change  as the edit `arrangement` has it */
/** @typedef {{node: number, blobs: Blob[], change: Change | null}} Known  a node's blobs, and what is wanted of them */

export const KIND = "arrangement";
const TOGETHER = 1200; // ms within which changes of one kind to one blob are one entry of the history
const PATIENCE = 5000; // ms after which an answer that has not come is no longer waited for
const SMALLEST = 1; // pixels that a blob is large at least

const tenth = (/** @type {number} */ value) => Math.round(value * 10) / 10;

/** The blobs as a change leaves them. Pure.
 * @type {(blobs: Blob[], change: Change | null) => Blob[]} */
export function changed(blobs, change) {
  if (!change) return blobs;
  const family = (/** @type {number} */ id, /** @type {number} */ of) => {
    /** @type {number | null} */
    let at = id;
    for (let i = 0; at != null && i <= blobs.length; i++) {
      if (at === of) return true;
      at = blobs[at].parent;
    }
    return false;
  };
  return blobs.map((blob, id) => {
    let { x, y, size, there } = blob;
    for (const [of, [dx, dy]] of Object.entries(change.moves ?? {}))
      if (family(id, Number(of))) [x, y] = [x + dx, y + dy];
    size *= change.resizes?.[id] ?? 1;
    there = (there || Boolean(change.shows?.includes(id))) && !change.removes?.includes(id);
    there &&= !change.deletes?.includes(id);
    return { ...blob, x, y, size, there };
  });
}

export class Arranger {
  /** @param {Studio} studio @param {(known: Known | null) => void} tell  of the blobs, whenever they are others */
  constructor(studio, tell) {
    this.studio = studio;
    this.tell = tell;
    /** @type {Known | null} */
    this.known = null;
    /** What belongs together: a kind of change and its blob. */
    this.tag = "";
    this.until = 0;
    this.held = false;
    this.wanted = false;
    /** Changes that wait until the one before is done. @type {[string, (now: Change) => Change][]} */
    this.next = [];
    /** The picture that there was when the last edit was sent, until another comes. @type {number | null} */
    this.sent = null;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    /** The picture that the last edit made. @type {number | null} */
    this.made = null;
  }

  get busy() {
    return this.sent != null;
  }

  /** The blobs where they are wanted. */
  get blobs() {
    return this.known ? changed(this.known.blobs, this.known.change) : [];
  }

  /** The blobs of the present picture. @param {number} node @param {Blob[]} blobs */
  learn(node, blobs) {
    this.tag = "";
    this.made = null;
    this.put({ node, blobs, change: null });
    const waited = this.next;
    this.next = [];
    for (const [tag, more] of waited) this.change(tag, more); // those of another kind than the first wait once more
  }

  /** @param {Known | null} known */
  put(known) {
    this.known = known;
    this.tell(known);
  }

  /** Whether the blobs have to be asked for: the present picture is not the known one, nor made from it here. */
  get stale() {
    const { session } = this.studio.state;
    const current = session?.current ?? null;
    if (current == null || session?.run || this.busy || this.wanted || this.held) return false;
    return this.known?.node !== current || Boolean(this.known.change);
  }

  /** One more change; those with the same tag in a row are one.
   * @param {string} tag @param {(now: Change) => Change} more */
  change(tag, more) {
    const { state } = this.studio;
    if (!this.known || state.session?.current == null) return;
    if (running(state) && !this.busy) {
      this.studio.tell("Stop first, then arrange.");
      return;
    }
    const goesOn = tag === this.tag && this.known.change && (this.held || this.busy || Date.now() < this.until);
    if (!goesOn && this.known.change) {
      this.next.push([tag, more]); // the blobs that the last one leaves are not told yet
      return;
    }
    if (!goesOn) this.made = null;
    this.tag = tag;
    this.until = Date.now() + TOGETHER;
    this.wanted = true;
    this.put({ ...this.known, change: more(goesOn ? (this.known.change ?? {}) : {}) });
    this.send();
  }

  /** Send what is wanted, unless the last is on its way. */
  send() {
    const { session } = this.studio.state;
    if (!this.wanted || !this.known?.change || session?.current == null || session.run || this.busy) return;
    const { node, change } = this.known;
    const own = session.current !== node && session.current === this.made;
    if (session.current !== node && !own) {
      this.refused(); // somebody has gone elsewhere in the history
      return;
    }
    this.wanted = false;
    const edit = { kind: KIND, ...change };
    if (!this.studio.send({ type: "start", edit, node, ...(own ? { replacing: session.current } : {}) })) return;
    this.sent = session.current;
    this.wait();
  }

  /** What was sent may come to nothing without a word, as an edit that is stopped before its first step. */
  wait() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      if (this.sent == null) return;
      if (this.studio.state.session?.run) this.wait();
      else this.refused();
    }, PATIENCE);
  }

  /** The session is another. */
  told() {
    const { session } = this.studio.state;
    if (this.sent == null || session?.run || session?.current === this.sent) return;
    clearTimeout(this.timer);
    this.made = session?.current ?? null;
    this.sent = null;
    this.send();
    // What the page drew last it drew while an edit was on its way, so it has not seen that the blobs may be asked for.
    this.put(this.known);
  }

  /** The blob that was held is let go: what comes next is another entry of the history. */
  release() {
    this.held = false;
    this.tag = "";
    this.put(this.known);
  }

  /** What was sent was refused, or is of no use any more. */
  refused() {
    clearTimeout(this.timer);
    this.sent = this.made = null;
    this.wanted = this.held = false;
    this.tag = "";
    this.next = [];
    this.put(null);
  }

  // --- What a person does -------------------------------------------------------------------------------------------

  /** A blob has been moved by (dx, dy) pixels since its gesture began, or by so much more.
   * @param {number} id @param {number} dx @param {number} dy @param {boolean} [more] */
  move(id, dx, dy, more = false) {
    this.change(`move ${id}`, (now) => {
      const [x, y] = (more && now.moves?.[id]) || [0, 0];
      return { ...now, moves: { [id]: [tenth(x + dx), tenth(y + dy)] } };
    });
  }

  /** A blob of the present layout goes to a place, as typed.
   * @param {number} id @param {0 | 1} axis @param {number} value */
  place(id, axis, value) {
    const blob = this.blobs[id];
    if (!blob) return;
    const by = tenth(value) - (axis ? blob.y : blob.x);
    this.change(`move ${id}`, (now) => {
      const [x, y] = now.moves?.[id] ?? [0, 0];
      return { ...now, moves: { [id]: axis ? [x, y + by] : [x + by, y] } };
    });
  }

  /** A blob gets so many times as large.
   * @param {number} id @param {number} factor */
  resize(id, factor) {
    const blob = this.blobs[id];
    if (!blob || !(factor > 0)) return;
    const side = this.studio.state.session?.resolution ?? 1;
    const held = Math.min(Math.max(factor, SMALLEST / blob.size), side / blob.size);
    if (held === 1) return;
    this.change(`resize ${id}`, (now) => ({ ...now, resizes: { [id]: (now.resizes?.[id] ?? 1) * held } }));
  }

  /** A blob gets another style. Every one is an entry of the history, so that there is a way back.
   * @param {number} id */
  restyle(id) {
    this.once({ restyles: { [id]: Math.floor(Math.random() * 2 ** 31) } });
  }

  /** @param {number} id @param {boolean} there */
  show(id, there) {
    this.once(there ? { shows: [id] } : { removes: [id] });
  }

  /** @param {number} id */
  remove(id) {
    this.once({ deletes: [id] });
  }

  /** @param {number} id */
  duplicate(id) {
    this.once({ duplicates: [id] });
  }

  /** @param {Point} at */
  add([x, y]) {
    this.once({ adds: [{ x: tenth(x), y: tenth(y), style: Math.floor(Math.random() * 2 ** 31) }] });
  }

  /** A change that stands by itself.
   * @param {Change} change */
  once(change) {
    this.change(`once ${Date.now()} ${Math.random()}`, () => change);
  }
}
