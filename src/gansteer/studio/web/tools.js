// The tools beside the picture, and what there is to choose of the one in hand.

import { ACTIONS, SHAPES } from "./actions.js";
import { num, tip } from "./controls.js";
import { icon } from "./icons.js";
import { isBlank } from "./paint.js";
import { draftOf, layerOf, sideOf } from "./state.js";
import { html } from "./vendor/preact.js";

/** @typedef {{studio: import("./studio.js").Studio}} Props */

/** @typedef {import("./state.js").Tool} Tool */
/** @typedef {import("./icons.js").Glyph} Glyph */

/** @type {{tool: Tool, action: string, label: string, what: string, glyph: Glyph}[]} */
const TOOLS = [
  { tool: "points", action: "tool-points", label: "Points", what: "Place and move points", glyph: "points" },
  { tool: "free", action: "tool-free", label: "May move", what: "Paint what may move", glyph: "free" },
  { tool: "held", action: "tool-held", label: "Must stay", what: "Paint what must stay", glyph: "held" },
  { tool: "erase", action: "tool-erase", label: "Erase", what: "Erase what was painted", glyph: "erase" },
];

/** @param {Props} props */
export function Rail({ studio }) {
  const { tool } = studio.state;
  return html`
    <div class="rail" role="toolbar" aria-label="Tools" aria-orientation="vertical">
      ${TOOLS.map(
        (one) => html`
          <button
            key=${one.tool}
            class="tool"
            aria-pressed=${tool === one.tool}
            title=${tip(one.what, one.action)}
            onClick=${() => ACTIONS[one.action](studio)}
          >
            ${icon(one.glyph)}
            <span>${one.label}</span>
          </button>
        `,
      )}
    </div>
  `;
}

const SHAPE_WORDS = { brush: "Brush", rectangle: "Rectangle", ellipse: "Ellipse", part: "Point at a part" };

/** @param {Props} props */
export function ToolOptions({ studio }) {
  const { state } = studio;
  const { tool, shape, radius, opacity } = state;
  if (tool === "points" || tool === "own") return null;
  const most = Math.max(4, Math.round(sideOf(state) / 2));
  const layer = layerOf(state);
  const nothing = isBlank(draftOf(state)[layer]);
  return html`
    <div class="options" role="group" aria-label="Brush">
      <div class="row tight" role="radiogroup" aria-label="Shape">
        ${SHAPES.map(
          (one) => html`
            <button
              key=${one}
              class="icon small"
              role="radio"
              aria-checked=${shape === one}
              aria-label=${SHAPE_WORDS[one]}
              title=${SHAPE_WORDS[one]}
              onClick=${() => studio.store.set({ shape: one })}
            >
              ${icon(one)}
            </button>
          `,
        )}
      </div>
      ${
        shape === "part" &&
        tool !== "erase" &&
        html`
          <button
            class="small"
            aria-pressed=${state.adding}
            title=${tip("Add to what there is, or hold Shift", "adding")}
            onClick=${() => ACTIONS.adding(studio)}
          >
            ${icon("plus")}Add
          </button>
        `
      }
      ${
        shape === "brush" &&
        html`
          <label class="row slim">
            <span>Size</span>
            <input
              type="range"
              min="1"
              max=${most}
              value=${radius}
              onInput=${num((radius) => studio.store.set({ radius }))}
            />
            <output class="number">${radius}</output>
          </label>
        `
      }
      <label class="row slim opacity">
        <span>Opacity</span>
        <input
          type="range"
          min="0.15"
          max="1"
          step="0.05"
          value=${opacity}
          aria-label="Opacity of the paint"
          onInput=${num((opacity) => studio.store.set({ opacity }))}
        />
      </label>
      <div class="row tight">
        ${
          layer === "paint" &&
          html`
            <button
              class="icon small"
              disabled=${nothing}
              title=${tip("Swap what may move and what must stay", "invert")}
              aria-label="Swap what may move and what must stay"
              onClick=${() => ACTIONS.invert(studio)}
            >
              ${icon("invert")}
            </button>
          `
        }
        <button
          class="icon small"
          disabled=${nothing}
          title="Remove all paint"
          aria-label="Remove all paint"
          onClick=${() => studio.clear(layer, "The paint is gone.")}
        >
          ${icon("trash")}
        </button>
      </div>
    </div>
  `;
}
