// Drag: points with targets, what may move and what must stay.

import { pack, painted, unpack } from "../draft.js";
import { MAC } from "../controls.js";
import { distance, inside, middle, toStage } from "../geometry.js";
import { KEYS, shown } from "../keys.js";
import { fromMask, HELD, mask } from "../paint.js";
import * as points from "../points.js";
import { hatched, lay, pinned, Sheet } from "../sheet.js";
import { draftOf, inHand, present, running, sideOf, traceOf } from "../state.js";
import { html } from "../vendor/preact.js";
import { fieldsOf, settingsOf } from "./drag_how.js";
import { Panel } from "./drag_panel.js";

/** @typedef {import("../geometry.js").Point} Point */
/** @typedef {import("../points.js").Pair} Pair */
/** @typedef {import("../state.js").State} State */
/** @typedef {import("./index.js").Drawing} Drawing */

const HOW = "click there, or move the cross and press Enter";
const CLEAR = KEYS.find(({ action }) => action === "clear-arrived")?.keys[0] ?? "";
const FAR = 0.05; // of the picture: as much left to go is far from arrived

/** @type {import("../draft.js").Field} */
const pairs = { empty: () => [], pack: (value) => value, unpack: (packed) => packed };

/** @typedef {{broken: number | null}} Own  the picture on which a face came apart */
/** @type {import("./index.js").Kind<Own> & {toEdit: (state: State) => import("../protocol").Edit}} */
export const drag = {
  tab: "drag",
  label: "Drag",
  needs: "drag",
  Panel,
  draft: { pairs, paint: painted },
  files: ["mask", "points"],
  own: { broken: null },

  ready(state) {
    const all = draftOf(state).pairs;
    const open = points.waiting(all);
    if (open) return { ok: false, first: true, says: `Now choose where point ${all.indexOf(open) + 1} goes: ${HOW}.` };
    const count = points.complete(all).length;
    const there = points.arrived(all).length;
    const clear = `${shown(CLEAR, MAC).join(MAC ? "" : " ")} removes what has arrived.`;
    if (!count) return { ok: false, says: "Drag on the picture: from a point to where it should go." };
    if (there === count) return { ok: false, says: `All points have arrived and hold what is there. ${clear}` };
    const ready = count - there === 1 ? "One point is ready" : `${count - there} points are ready`;
    if (!there) return { ok: true, says: `${ready}.` };
    return { ok: true, says: `${ready}, ${there} that ${there === 1 ? "has" : "have"} arrived hold. ${clear}` };
  },

  toEdit(state) {
    const draft = draftOf(state);
    const complete = points.complete(draft.pairs);
    const moves = mask(draft.paint);
    return {
      kind: "drag",
      handles: complete.map((pair) => pair.from),
      targets: complete.map((pair) => pair.to),
      ...(moves ? { mask: pack(moves) } : {}),
      ...fieldsOf(state.settings),
    };
  },

  fromEdit(edit, last, side, state) {
    const { handles, targets, mask: moves } = /** @type {any} */ (edit);
    /** @type {Pair[]} */
    const then = handles.map((/** @type {Point} */ from, /** @type {number} */ i) => ({
      id: i + 1,
      from,
      to: targets[i],
    }));
    return {
      draft: {
        pairs: last ? points.carried(then, last.points, side) : then,
        paint: fromMask(moves ? unpack(moves) : null, side),
      },
      settings: settingsOf(edit, state.settings),
    };
  },

  sheet: ({ studio, look }) => html`
    <${Held} studio=${studio} look=${look} />
  `,
  marks: (drawing) => html`
    <${Points} ...${drawing} />
  `,

  ended(studio) {
    const node = present(studio.state);
    if (!node || node.parent == null || !studio.state.welcome?.answers.includes("whole")) return;
    const { id, parent } = node;
    Promise.all([studio.ask("whole", {}, parent), studio.ask("whole", {}, id)]).then(
      ([before, after]) => before && after === false && studio.keepOwn(drag, { broken: id }),
      () => {}, // the picture gave way to another meanwhile
    );
  },

  outcome(state, ended) {
    if (state.own.drag.broken === state.session?.current) return BROKEN;
    const { distances = [] } = traceOf(state) ?? {};
    const [left, first] = [Math.max(0, ...distances), Math.max(0, ...(state.traces[0]?.distances ?? []))];
    if (!/step limit|no nearer|stuck/i.test(ended) || left < FAR * sideOf(state)) return null;
    return {
      says:
        left < 0.5 * first
          ? "It came part of the way: what lies beyond may be more than this model can draw in one go."
          : "It hardly came nearer: the model may know no such picture, or something that must stay holds it.",
      offers: [
        { label: "Go on from here", act: (studio) => studio.send({ type: "start", edit: drag.toEdit(studio.state) }) },
        { label: "Only half of what is left", act: (studio) => halfway(studio) },
        { label: "Back", act: (studio) => studio.undo() },
      ],
    };
  },

  readout(state, { distances }) {
    const left = Math.max(0, ...distances);
    const first = Math.max(left, ...(state.traces[0]?.distances ?? []), 1e-9);
    return { share: 1 - left / first, facts: [["To go", `${left.toFixed(1)} px`]] };
  },
};

/** What to do about a face that came apart.
 * @type {import("./index.js").Outcome} */
const BROKEN = {
  says: "The face came apart: the points were taken farther than this model has faces for.",
  offers: [
    {
      label: "Again, and keep it a face",
      act: (studio) => {
        studio.prefer({ freedom: "faithful" });
        again(studio, 1);
      },
    },
    { label: "Again, half as far", act: (studio) => again(studio, 0.5) },
    { label: "Back", act: (studio) => studio.undo() },
  ],
};

/** Carry the last edit out anew, from the picture that it began with, to targets `share` as far away.
 * @param {import("../studio.js").Studio} studio @param {number} share */
function again(studio, share) {
  const { state } = studio;
  const node = present(state);
  const { handles, targets, mask: moves } = /** @type {any} */ (state.session?.edit);
  const nearer = handles.map((/** @type {Point} */ [x, y], /** @type {number} */ i) => [
    x + share * (targets[i][0] - x),
    y + share * (targets[i][1] - y),
  ]);
  const edit = {
    kind: "drag",
    handles,
    targets: nearer,
    ...(moves ? { mask: moves } : {}),
    ...fieldsOf(state.settings),
  };
  studio.send({ type: "start", edit, node: node?.parent ?? null });
}

/** Bring the targets half of the way back to where the handles are now.
 * @param {import("../studio.js").Studio} studio */
function halfway(studio) {
  const draft = draftOf(studio.state);
  const side = sideOf(studio.state);
  const nearer = draft.pairs.map((pair) =>
    pair.to ? { ...pair, to: inside(middle(pair.from, pair.to), side) } : pair,
  );
  studio.change({ ...draft, pairs: nearer }, "", "The targets are half as far. Start when you like.");
}

/** What stays is hatched.
 * @param {Pick<Drawing, "studio" | "look">} props */
function Held({ studio, look }) {
  const { state } = studio;
  const { paint } = draftOf(state);
  /** @type {import("../sheet.js").Draw} */
  const draw = (context, place) => {
    const held = mask(paint)?.map((value) => 1 - value);
    if (held) lay(context, held, place, hatched);
    const pins = paint.map((/** @type {number} */ value) => (value === HELD ? 1 : 0));
    if (pins.includes(1)) lay(context, pins, place, pinned);
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[paint]} opacity=${state.opacity * (running(state) ? 0.4 : 1)} />
  `;
}

/** Handles, targets, and the way of every handle.
 * @param {Drawing} props */
function Points({ studio, look, tip }) {
  const { state } = studio;
  const elsewhere = inHand(state) !== drag && state.tool !== "points"; // Start is about something else
  if (elsewhere && !running(state)) return null;
  const now = moving(state, draftOf(state).pairs);
  const open = points.waiting(now);
  const at = (/** @type {Point} */ point) => toStage(look.view, point);
  const line = (/** @type {Point[]} */ way) => way.map((point) => at(point).map(round).join(",")).join(" ");
  return html`
    ${trails(state).map(
      (way) => html`
        <polyline class="trail" points=${line(way)} />
      `,
    )}
    ${
      open &&
      tip &&
      html`
        <${Arrow} from=${at(open.from)} to=${tip} loose />
      `
    }
    ${now.map(
      (pair) =>
        pair.to &&
        html`
          <${Arrow} from=${at(pair.from)} to=${at(pair.to)} />
        `,
    )}
    ${now.map(
      (pair, i) => html`
        <${End} key=${`${pair.id}-from`} look=${look} pair=${pair} end="from" number=${i + 1} />
      `,
    )}
    ${now.map(
      (pair, i) =>
        pair.to &&
        html`
          <${End} key=${`${pair.id}-to`} look=${look} pair=${pair} end="to" number=${i + 1} />
        `,
    )}
  `;
}

const round = (/** @type {number} */ v) => Math.round(v * 10) / 10;

/** The pairs with handles where the edit in progress has them.
 * @type {(state: State, all: Pair[]) => Pair[]} */
function moving(state, all) {
  const trace = running(state) ? traceOf(state) : undefined;
  if (!trace) return all;
  let i = 0;
  return all.map((pair) => (pair.to && trace.points[i] ? { ...pair, from: trace.points[i++] } : pair));
}

/** Where every handle has been.
 * @type {(state: State) => Point[][]} */
function trails({ traces }) {
  const count = traces[0]?.points.length ?? 0;
  return Array.from({ length: count }, (_, i) => traces.flatMap((trace) => (trace.points[i] ? [trace.points[i]] : [])));
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
 * @param {{look: import("../look.js").Look, pair: Pair, end: "from" | "to", number: number}} props */
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
