// All that the page knows, in one object that is replaced when anything changes.

import { empty } from "./draft.js";
import { titled } from "./words.js";

/** @typedef {import("./protocol").State} Session */
/** @typedef {import("./protocol").Trace} Trace */
/** @typedef {import("./draft.js").Draft} Draft */
/** @typedef {"points" | "free" | "held" | "erase" | "area"} Tool */
/** @typedef {"brush" | "rectangle" | "ellipse" | "part"} Shape  part: what is under the pointer */
/** @typedef {"off" | "slider" | "side"} Comparing */
/** @typedef {"drag" | "sliders" | "area" | "layout" | "photo" | "gallery"} Tab */
/** @typedef {"help" | "export" | "model" | "photo" | null} Dialog */
/**
 * @typedef {object} State
 * @property {import("./wire.js").Link} link
 * @property {string} reason  why the line is closed
 * @property {import("./protocol").Welcome | null} welcome
 * @property {Session | null} session
 * @property {Record<number, import("./undo.js").Trail<Draft>>} trails  what was prepared on each node
 * @property {Draft | null} live  a gesture that isn't finished
 * @property {Trace[]} traces  the steps of the edit in progress, or of the one that made the present node
 * @property {number} began  the number of latent steps before the present start
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
 * @property {Tab} tab
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
 * @property {{file: File, sight: import("./protocol").Sight} | null} sight  a photo that is not brought in yet
 * @property {boolean} turning  whether a slider is being moved
 * @property {string[]} locks  attributes that are held while others move
 * @property {{name: string, amount: number}} local  the attribute of a local change, and how much
 * @property {boolean} changes  whether it is shown where the picture changed
 * @property {Settings} settings
 */
/**
 * @typedef {object} Settings  kept in this browser
 * @property {"auto" | "light" | "dark"} theme
 * @property {boolean} keys  whether single keys are hot keys
 * @property {number} limit  steps of a drag at most
 * @property {number} strength  how much a step changes: 1 to 4
 * @property {number} spread  of seeds: psi
 * @property {number[]} stars  seeds
 */

/** @type {Settings} */
const USUAL = { theme: "auto", keys: true, limit: 300, strength: 2, spread: 0.7, stars: [] };

/** @type {() => Settings} */
function settings() {
  try {
    return { ...USUAL, ...JSON.parse(localStorage.getItem("settings") ?? "{}") };
  } catch {
    return USUAL;
  }
}

/** @type {() => State} */
export const initial = () => ({
  link: "opening",
  reason: "",
  welcome: null,
  session: null,
  trails: {},
  live: null,
  traces: [],
  began: 0,
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
  tab: "drag",
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
  sight: null,
  turning: false,
  locks: [],
  local: { name: "", amount: 2 },
  changes: false,
  settings: settings(),
});

export class Store {
  state = initial();
  /** @type {Set<() => void>} */
  listeners = new Set();

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
  return state.live ?? kept?.present ?? empty(sideOf(state));
}

/** The node to compare with.
 * @type {(state: State) => number | null} */
export function beforeOf(state) {
  const node = present(state);
  const chosen = state.session?.nodes.find((other) => other.id === state.before);
  return chosen && chosen.id !== node?.id && chosen.model === node?.model ? chosen.id : (node?.parent ?? null);
}

/** What lies beside or under the present picture when one compares: a picture before it or, for a photo that was brought
 * in, the photo itself.
 * @type {(state: State) => {path: string, title: string} | null} */
export function beneath(state) {
  const node = present(state);
  const before = state.session?.nodes.find((one) => one.id === beforeOf(state));
  if (before) return { path: `node/${before.id}`, title: titled(before) };
  return node?.kind === "inversion" ? { path: `photo/${node.id}`, title: "the photo" } : null;
}

/** Handles now, if the edit in progress moves any.
 * @type {(state: State) => import("./protocol").Trace | undefined} */
export const traceOf = (state) => state.traces[state.traces.length - 1];

/** @type {(state: State) => boolean} */
export const running = (state) => Boolean(state.session?.run);
