// What is drawn over the picture: what the kinds of edits say, the part that is pointed at, the brush and the cross.

import { toPicture, toStage } from "./geometry.js";
import { called, pointing, under } from "./parts.js";
import { lay, lit, outline, Sheet } from "./sheet.js";
import { kindsOf, running } from "./state.js";
import { html } from "./vendor/preact.js";

/** @typedef {import("./geometry.js").Point} Point */
/** @typedef {import("./look.js").Look} Look */

/** @param {{studio: import("./studio.js").Studio, look: Look, hover: Point | null, corner: Point | null}} props */
export function Marks({ studio, look, hover, corner }) {
  const { state } = studio;
  const cross = state.cross && toStage(look.view, state.cross);
  const tip = cross ?? hover;
  const painting = !["points", "own"].includes(state.tool) && state.shape !== "part" && !running(state);
  const points = pointing(state) && tip;
  const part = points ? under(state.parts.list, state.cross ?? toPicture(look.view, tip), look.side) : null;
  const kinds = kindsOf(state);
  return html`
    ${kinds.map((kind) => kind.sheet?.({ studio, look, tip }))}
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
      ${kinds.map((kind) => kind.marks?.({ studio, look, tip }))}
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

/** The part that a click would take.
 * @param {{look: Look, part: import("./parts.js").Part}} props */
function Lit({ look, part }) {
  /** @type {import("./sheet.js").Draw} */
  const draw = (context, place) => {
    lay(context, part.layer, place, lit);
    outline(context, part.layer, place);
  };
  return html`
    <${Sheet} look=${look} draw=${draw} of=${[part]} />
  `;
}
