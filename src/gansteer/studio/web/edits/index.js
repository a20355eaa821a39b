// The kinds of edits that the page knows, in the order of their panels.
//
// To add one, write a module beside this that exports a `Kind`, and name it in `KINDS`: no other file of the page has
// to know. The panel is there when the server says that it knows edits called `needs`. Start begins the edit of the
// open panel; on panels whose kind has no `toEdit`, that of the first kind that has one.

import { area } from "./area.js";
import { drag } from "./drag.js";
import { layout } from "./layout.js";
import { photo } from "./photo.js";
import { sliders } from "./sliders.js";

/** @type {Kind<any>[]} */
export const KINDS = [drag, sliders, area, layout, photo];

/** @typedef {import("../studio.js").Studio} Studio */
/** @typedef {import("../state.js").State} State */
/** @typedef {import("../draft.js").Draft} Draft */
/** @typedef {import("../geometry.js").Point} Point */
/** @typedef {import("../look.js").Look} Look */
/** @typedef {import("../protocol").Edit} Edit */
/** @typedef {import("../protocol").NodeInfo} NodeInfo */
/** @typedef {import("../protocol").StepRecord} Trace */
/** @typedef {{draft?: Partial<Draft>} & Partial<State>} Asked  of the page; `draft` of the present picture */
/** @typedef {{studio: Studio, look: Look, tip: Point | null}} Drawing  `tip`: the pointer or the cross, on the stage */
/**
 * @typedef {object} Ready
 * @property {boolean} ok  whether Start would begin something
 * @property {string} says  what there is to begin, or what is missing, in a sentence
 * @property {boolean} [first]  whether that matters more than how the last edit ended
 */
/**
 * @typedef {object} Readout  of an edit that runs; steps, time and loss are shown for every kind
 * @property {number | null} [share]  0 to 1, how much of it is done
 * @property {number | null} [steps]  how many there will be, where that is known
 * @property {[string, string][]} [facts]  a name and what it is now
 */
/** @typedef {{says: string, offers: {label: string, act: (studio: Studio) => void}[]}} Outcome */
/**
 * @typedef {object} Gesture  a press on the picture that the kind itself sees to
 * @property {(at: Point) => void} move  in pixels of the picture
 * @property {(at: Point, when: number) => void} end  also when it never moved, as on Enter at the keyboard's cross;
 *   `when` it happened, in ms, which a busy page hears of late
 * @property {() => void} drop  given up
 */
/**
 * @template [Own=undefined]
 * @typedef {object} Kind
 * @property {string} tab  the name of its panel on the page
 * @property {string} label  what a person reads there
 * @property {string} needs  the name of its edits, as the server knows them
 * @property {(props: {studio: Studio}) => unknown} Panel
 * @property {import("../state.js").Tool} [tool]  the one in hand on its panel; without, the one that was, or points
 * @property {string} [layer]  the layer of the draft that brushes paint on its panel; without, `paint`: what may move
 * @property {Own} [own]  what it keeps in `state.own[tab]`, as it begins: choices that are of no picture in particular
 * @property {Record<string, import("../draft.js").Field>} [draft]  what is prepared for it on each picture, by name; it
 *   is undone and redone, and outlives a reload
 * @property {(state: State) => Ready} [ready]
 * @property {(state: State) => Edit} [toEdit]  what Start begins
 * @property {(edit: Edit, last: Trace | null, side: number, state: State) => Asked} [fromEdit]  the inverse: what of
 *   the page has to be how, so that Start would go on with this edit after its step `last`
 * @property {(drawing: Drawing) => unknown} [marks]  SVG over the picture, in pixels of the stage; elements that see to
 *   pointers themselves have the attribute `data-own`
 * @property {(drawing: Drawing) => unknown} [sheet]  what lies under all marks, a canvas say
 * @property {(studio: Studio, from: Point) => Gesture | null} [press]  with the tool `own`
 * @property {(state: State, trace: Trace) => Readout} [readout]
 * @property {(studio: Studio) => void} [ended]  called when its edit has ended, to find out what became of it
 * @property {(state: State, ended: string) => Outcome | null} [outcome]  what to say and to offer when its edit has
 *   ended otherwise than one would like
 * @property {(title: string) => string} [title]  what an entry of the history is called that the server calls so
 * @property {string[]} [files]  those of the exports that only some kinds have: `mask`, `points`
 * @property {(node: NodeInfo) => {path: string, title: string}} [beneath]  what lies under its picture when one
 *   compares, if that was made of no other picture: the address of a file of the session, and what it is
 */
