// Where things are on a stage of a given size: one pane, or two side by side.

import { centred, fit } from "./geometry.js";
import { sideOf } from "./state.js";

const MARGIN = 16; // CSS pixels around the whole picture

export class Look {
  /** @param {import("./state.js").State} state @param {import("./geometry.js").Size} size */
  constructor(state, size) {
    const beside = state.comparing === "side";
    this.side = sideOf(state) || 1;
    /** Where the pane that is edited begins. */
    this.left = beside ? size.width / 2 : 0;
    this.pane = { width: size.width - this.left, height: size.height };
    this.view = state.view ?? whole(this.side, this.pane);
  }

  /** The style of a picture in the left (0) or the edited (1) pane.
   * @param {0 | 1} pane */
  place(pane) {
    const { scale, x, y } = this.view;
    const left = pane ? this.left : 0;
    const clip = this.left ? { clipPath: clipped(this, pane) } : {};
    return {
      width: `${this.side * scale}px`,
      height: `${this.side * scale}px`,
      transform: `translate(${left + x}px, ${y}px)`,
      imageRendering: scale > 10 ? "pixelated" : "auto",
      ...clip,
    };
  }
}

/** Each picture ends where its pane does.
 * @type {(look: Look, pane: 0 | 1) => string} */
function clipped({ side, view, pane }, which) {
  const over = view.x + side * view.scale - pane.width;
  return which ? `inset(0 0 0 ${Math.max(0, -view.x)}px)` : `inset(0 ${Math.max(0, over)}px 0 0)`;
}

/** @type {(side: number, pane: import("./geometry.js").Size) => import("./geometry.js").View} */
export const whole = (side, pane) => fit(side, pane, Math.min(MARGIN, pane.width / 24));

/** One pixel of the picture on one pixel of the screen.
 * @type {(side: number, pane: import("./geometry.js").Size) => import("./geometry.js").View} */
export const actual = (side, pane) => centred(side, pane, 1);

/** Bring the picture into sight where the page scrolls. */
export const showStage = () => document.querySelector(".stage")?.scrollIntoView({ block: "nearest" });
