// All that the page knows, in one object that is replaced when anything changes.

import { empty } from "./draft.js";
import { titled } from "./words.js";

/** @typedef {import("./protocol").State} Session */
/** @typedef {import("./protocol").StepRecord} Trace */
/** @typedef {import("./draft.js").Draft} Draft */
/** @typedef {import("./edits/index.js").Kind<any>} Kind */
/** @typedef {"points" | "free" | "held" | "erase" | "region" | "own"} Tool
 *  region: a brush for the layer of the panel's kind; own: that kind sees to presses itself */
/** @typedef {"brush" | "rectangle" | "ellipse" | "part"} Shape  part: what is under the pointer */
/** @typedef {"off" | "slider" | "side"} Comparing */
/** @typedef {"help" | "export" | "model" | "photo" | "sessions" | null} Dialog */
/**
 * @typedef {object} State
 * @property {Kind[]} kinds  of edits that the page knows
 * @property {import("./wire.js").Link} link
 * @property {string} reason  why the line is closed
 * @property {import("./protocol").Welcome | null} welcome
 * @property {Session | null} session
 * @property {Record<number, import("./undo.js").Trail<Draft>>} trails  what was prepared on each node
 * @property {Draft | null} live  a gesture that isn't finished
 * @property {Trace[]} traces  the steps of the edit in progress, or of the one that made the present node
 * @property {number | null} shown  the node whose picture is on the canvas
 * @property {boolean} whole  whether that picture is the final one
 * @property {Tool} tool
 * @property {Shape} shape
 * @property {boolean} adding  whether a part that is pointed at is added to what there is
 * @property {import("./parts.js").Parts} parts  what can be pointed at
 * @property {number} radius  of the brush, in pixels of the picture
 * @property {number} opacity  of the paint on the picture
 * @property {boolean} marks  whether points and paint are shown
 * @property {import("./geometry.js").Point | null} cross  where the keyboard's cross is
 * @property {string} tab  the open panel
 * @property {Comparing} comparing
 * @property {number} split  0 to 1, where the picture before ends
 * @property {boolean} peeking
 * @property {boolean} panning
 * @property {number | null} before  the node that is compared with; null: the one that the present was made from
 * @property {number} blend  0 to 1, between it and the present one
 * @property {import("./geometry.js").View | null} view  null: the whole picture
 * @property {Dialog} dialog
 * @property {{kind: "bad" | "plain", text: string} | null} notice
 * @property {string} said  for the live region
 * @property {boolean} uploading
 * @property {import("./protocol").Exporting | null} exporting  how far the film is that is being made
 * @property {{file: File, sight: import("./protocol").Sight} | null} sight  a photo that is not brought in yet
 * @property {boolean} dropping  whether a file is being dragged over the page
 * @property {boolean} turning  whether a slider is being moved
 * @property {string[]} locks  attributes that are held while others move
 * @property {Record<string, any>} own  what each kind of edit keeps for itself, by the names of their panels
 * @property {boolean} changes  whether it is shown where the picture changed
 * @property {Settings} settings
 */
/**
 * @typedef {object} Settings  kept in this browser
 * @property {"auto" | "light" | "dark"} theme
 * @property {boolean} keys  whether single keys are hot keys
 * @property {number} limit  steps of a drag at most
 * @property {number} strength  how much a step changes: 1 to 4
 * @property {import("./edits/drag_how.js").Freedom} freedom  of a drag
 * @property {import("./edits/drag_how.js").Numbers} numbers  of a drag that are not as usual
 * @property {number} spread  of seeds: psi
 * @property {number[]} stars  seeds
 */

/** @type {Settings} */
const USUAL = {
  theme: "auto",
  keys: true,
  limit: 300,
  strength: 2,
  freedom: "usual",
  numbers: {},
  spread: 0.7,
  stars: [],
};

/** @type {() => Settings} */
function settings() {
  try {
    return { ...USUAL, ...JSON.parse(localStorage.getItem("settings") ?? "{}") };
  } catch {
    return USUAL;
  }
}

/** @type {(kinds: Kind[]) => State} */
export const initial = (kinds) => ({
  kinds,
  link: "opening",
  reason: "",
  welcome: null,
  session: null,
  trails: {},
  live: null,
  traces: [],
  shown: null,
  whole: false,
  tool: "points",
  shape: "brush",
  adding: false,
  parts: { of: "", list: null },
  radius: 9,
  opacity: 0.75,
  marks: true,
  cross: null,
  tab: kinds[0]?.tab ?? "gallery",
  comparing: "off",
  split: 0.5,
  peeking: false,
  panning: false,
  before: null,
  blend: 1,
  view: null,
  dialog: null,
  notice: null,
  said: "",
  uploading: false,
  exporting: null,
  sight: null,
  dropping: false,
  turning: false,
  locks: [],
  own: Object.fromEntries(kinds.flatMap(({ tab, own }) => (own === undefined ? [] : [[tab, own]]))),
  changes: false,
  settings: settings(),
});

export class Store {
  /** @type {Set<() => void>} */
  listeners = new Set();

  /** @param {Kind[]} kinds */
  constructor(kinds) {
    this.state = initial(kinds);
  }

  /** @param {Partial<State>} change */
  set(change) {
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }
}

/** Side of the present picture in pixels.
 * @type {(state: State) => number} */
export const sideOf = (state) => state.session?.resolution ?? 0;

/** @type {(state: State) => import("./protocol").NodeInfo | undefined} */
export const present = (state) => state.session?.nodes.find((node) => node.id === state.session?.current);

/** What is prepared on the present picture, with the gesture in progress.
 * @type {(state: State) => Draft} */
export function draftOf(state) {
  const current = state.session?.current;
  const kept = current == null ? undefined : state.trails[current];
  return state.live ?? kept?.present ?? empty(state.kinds, sideOf(state));
}

/** The kinds of edits that the server knows too.
 * @type {(state: State) => Kind[]} */
export const kindsOf = ({ kinds, welcome }) => kinds.filter(({ needs }) => !welcome || welcome.edits.includes(needs));

/** The kind whose edit Start begins: that of the open panel or, where there is nothing to start, the first that has
 * anything.
 * @type {(state: State) => Kind | undefined} */
export function inHand(state) {
  const kinds = kindsOf(state).filter(({ toEdit }) => toEdit);
  return kinds.find(({ tab }) => tab === state.tab) ?? kinds[0];
}

/** The kind whose panel is open, if the panel is a kind's.
 * @type {(state: State) => Kind | undefined} */
export const openKind = (state) => kindsOf(state).find(({ tab }) => tab === state.tab);

/** The layer of the draft that the brush in hand paints on.
 * @type {(state: State) => string} */
export function layerOf(state) {
  const own = inHand(state)?.layer;
  return own && (state.tool === "region" || state.tool === "erase") ? own : "paint";
}

/** The state that Start would have to find so that it went on with an edit after its step `last`.
 * @type {(state: State, edit: import("./protocol").Edit, last: Trace | null) => State} */
export function asIf(state, edit, last) {
  const { draft, ...rest } = byName(state, edit.kind)?.fromEdit?.(edit, last, sideOf(state), state) ?? {};
  return { ...state, ...rest, live: { ...draftOf(state), ...draft } };
}

/** @type {(state: State, kind: string) => Kind | undefined} */
const byName = ({ kinds }, kind) => kinds.find(({ needs }) => needs === kind);

/** Whether Start would go on with the edit that was stopped: what is prepared now is still what that was asked to do.
 * @type {(state: State) => boolean} */
export function goesOn(state) {
  const { session } = state;
  if (!session?.can_resume || !session.edit) return false;
  const kind = inHand(state);
  if (kind?.needs !== session.edit.kind) return !kind?.ready?.(state).ok;
  const then = asIf(state, session.edit, session.trail[session.trail.length - 1] ?? null);
  return JSON.stringify(kind.toEdit?.(state)) === JSON.stringify(kind.toEdit?.(then));
}

/** The node to compare with.
 * @type {(state: State) => number | null} */
export function beforeOf(state) {
  const node = present(state);
  const chosen = state.session?.nodes.find((other) => other.id === state.before);
  const usual = node?.parent ?? node?.mixed?.b ?? null;
  return chosen && chosen.id !== node?.id && chosen.model === node?.model ? chosen.id : usual;
}

/** What lies beside or under the present picture when one compares: a picture before it or, for a photo that was
 * brought in, the photo itself.
 * @type {(state: State) => {path: string, title: string} | null} */
export function beneath(state) {
  const node = present(state);
  const before = state.session?.nodes.find((one) => one.id === beforeOf(state));
  if (before) return { path: `node/${before.id}`, title: titled(before, state) };
  return (node && byName(state, node.kind)?.beneath?.(node)) ?? null;
}

/** Handles now, if the edit in progress moves any.
 * @type {(state: State) => import("./protocol").StepRecord | undefined} */
export const traceOf = (state) => state.traces[state.traces.length - 1];

/** @type {(state: State) => boolean} */
export const running = (state) => Boolean(state.session?.run);
