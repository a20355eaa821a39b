// The controls for looking: before and after, where it changed, and the size on the screen.

import { ACTIONS } from "./actions.js";
import { tip } from "./controls.js";
import { icon } from "./icons.js";
import { Look } from "./look.js";
import { beneath, present } from "./state.js";
import { html } from "./vendor/preact.js";

/** @typedef {{studio: import("./studio.js").Studio}} Props */

/** @param {Props} props */
export function ViewControls({ studio }) {
  const { state } = studio;
  const { comparing } = state;
  const percent = Math.round(new Look(state, studio.pane).view.scale * 100);
  const alone = beneath(state) == null;
  /** @param {import("./state.js").Comparing} how */
  const compare = (how) => studio.store.set({ comparing: comparing === how ? "off" : how, view: null });
  const hold = (/** @type {boolean} */ peeking) => () => studio.store.set({ peeking });
  const peekKey = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === " " || event.key === "Enter") studio.store.set({ peeking: event.type === "keydown" });
  };
  return html`
    <div class="looking before-after" role="group" aria-label="Before and after">
      <button
        class="small"
        disabled=${alone}
        aria-pressed=${state.peeking}
        aria-label="Hold to see the picture before"
        title=${tip("Hold to see the picture before", "peek")}
        onPointerDown=${hold(true)}
        onPointerUp=${hold(false)}
        onPointerLeave=${hold(false)}
        onKeyDown=${peekKey}
        onKeyUp=${peekKey}
      >
        ${icon("eye")}
        <span>Before</span>
      </button>
      <button
        class="small"
        disabled=${alone}
        aria-pressed=${comparing === "slider"}
        aria-label="Before and after with a border to move"
        title="Before and after with a border to move"
        onClick=${() => compare("slider")}
      >
        ${icon("slider")}
        <span>Slide</span>
      </button>
      <button
        class="small"
        disabled=${alone}
        aria-pressed=${comparing === "side"}
        aria-label="Before and after side by side"
        title="Before and after side by side"
        onClick=${() => compare("side")}
      >
        ${icon("side")}
        <span>Beside</span>
      </button>
      <button
        class="small"
        disabled=${present(state)?.parent == null}
        aria-pressed=${state.changes}
        aria-label="Show where the picture changed"
        title=${tip("Show where the picture changed", "changes")}
        onClick=${() => ACTIONS.changes(studio)}
      >
        ${icon("changes")}
        <span>Changes</span>
      </button>
    </div>
    <div class="looking zoom" role="group" aria-label="Size on the screen">
      <button
        class="icon small"
        title=${tip("Smaller", "zoom-out")}
        aria-label="Smaller"
        onClick=${() => ACTIONS["zoom-out"](studio)}
      >
        ${icon("minus")}
      </button>
      <button
        class="small number percent"
        title=${tip("Actual size", "actual")}
        aria-label=${`${percent} %: show at actual size`}
        onClick=${() => ACTIONS.actual(studio)}
      >
        ${percent} %
      </button>
      <button
        class="icon small"
        title=${tip("Larger", "zoom-in")}
        aria-label="Larger"
        onClick=${() => ACTIONS["zoom-in"](studio)}
      >
        ${icon("plus")}
      </button>
      <button
        class="icon small"
        title=${tip("Fit the picture", "fit")}
        aria-label="Fit the picture"
        onClick=${() => ACTIONS.fit(studio)}
      >
        ${icon("fit")}
      </button>
    </div>
  `;
}
