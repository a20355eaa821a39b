// What surrounds the picture: the header, the tools, the bar with Start, and the controls for looking.

import { ACTIONS, SHAPES } from "./actions.js";
import { icon } from "./icons.js";
import { KEYS, shown } from "./keys.js";
import { Look } from "./look.js";
import { isBlank } from "./paint.js";
import { complete, waiting } from "./points.js";
import { beforeOf, beneath, draftOf, present, running, sideOf, traceOf } from "./state.js";
import { Menu } from "./menu.js";
import { html } from "./vendor/preact.js";
import { ahead, ending, numbers } from "./words.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** The tip of a button whose action has a hot key.
 * @type {(what: string, action: string) => string} */
export function tip(what, action) {
  const key = KEYS.find((one) => one.action === action);
  return key ? `${what} (${shown(key.keys[0], MAC).join(MAC ? "" : " ")})` : what;
}

/** @param {{studio: Studio, action: string, what: string, glyph: import("./icons.js").Glyph, disabled?: boolean}} props */
function Act({ studio, action, what, glyph, disabled }) {
  return html`
    <button
      class="icon"
      title=${tip(what, action)}
      aria-label=${what}
      disabled=${disabled}
      onClick=${() => ACTIONS[action](studio)}
    >
      ${icon(glyph)}
    </button>
  `;
}

/** @param {Props} props */
export function Header({ studio }) {
  const { state } = studio;
  const { session } = state;
  const here = session?.current != null ? state.trails[session.current] : undefined;
  const node = present(state);
  const dark = document.documentElement.dataset.theme === "dark";
  return html`
    <header class="header">
      <h1 class="brand">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <rect width="32" height="32" rx="8" />
          <path d="M10 22 21 11" />
          <circle class="full" cx="10" cy="22" r="4" />
          <circle class="ring" cx="22" cy="10" r="4" />
        </svg>
        <span>gansteer</span>
      </h1>
      <button class="model" onClick=${() => studio.store.set({ dialog: "model" })} aria-haspopup="dialog">
        <span class="unseen">${"Model: "}</span>
        ${node?.model ?? "…"}${icon("down")}
      </button>
      <span class="saved muted">${session && !session.saved ? "Saving …" : session ? "Saved" : ""}</span>
      <div class="row tight">
        <${Act}
          studio=${studio}
          action="undo"
          what="Undo"
          glyph="undo"
          disabled=${!here?.past.length && !session?.can_undo}
        />
        <${Act}
          studio=${studio}
          action="redo"
          what="Redo"
          glyph="redo"
          disabled=${!here?.future.length && !session?.can_redo}
        />
      </div>
      <div class="row tight">
        <button
          class="plain export"
          title=${tip("Export", "export")}
          aria-label="Export"
          aria-haspopup="dialog"
          onClick=${() => ACTIONS.export(studio)}
        >
          ${icon("download")}
          <span class="words">Export</span>
        </button>
        <button
          class="icon theme"
          aria-label=${dark ? "Light colours" : "Dark colours"}
          title=${dark ? "Light colours" : "Dark colours"}
          onClick=${() => studio.prefer({ theme: dark ? "light" : "dark" })}
        >
          ${icon(dark ? "sun" : "moon")}
        </button>
        <${Act} studio=${studio} action="help" what="Hot keys" glyph="help" />
        <${Menu} studio=${studio} />
      </div>
    </header>
  `;
}

/** @type {{tool: import("./state.js").Tool, action: string, label: string, what: string, glyph: import("./icons.js").Glyph}[]} */
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
  if (tool === "points") return null;
  const most = Math.max(4, Math.round(sideOf(state) / 2));
  const area = tool === "area" || (tool === "erase" && state.tab === "area");
  const draft = draftOf(state);
  const nothing = isBlank(area ? draft.area : draft.paint);
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
          !area &&
          html`
            <button
              class="icon small"
              disabled=${nothing}
              title=${tip("Swap what may move and what must stay", "invert")}
              aria-label="Swap what may move and what must stay"
              onClick=${() => studio.invert()}
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
          onClick=${() => (area ? studio.clearArea() : studio.clearPaint())}
        >
          ${icon("trash")}
        </button>
      </div>
    </div>
  `;
}

/** @type {(use: (value: number) => void) => (event: InputEvent) => void} */
export const num = (use) => (event) => use(/** @type {HTMLInputElement} */ (event.target).valueAsNumber);

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
        class="icon small"
        disabled=${alone}
        aria-pressed=${comparing === "slider"}
        aria-label="Before and after with a border to move"
        title="Before and after with a border to move"
        onClick=${() => compare("slider")}
      >
        ${icon("slider")}
      </button>
      <button
        class="icon small"
        disabled=${alone}
        aria-pressed=${comparing === "side"}
        aria-label="Before and after side by side"
        title="Before and after side by side"
        onClick=${() => compare("side")}
      >
        ${icon("side")}
      </button>
      <button
        class="icon small"
        disabled=${beforeOf(state) == null}
        aria-pressed=${state.changes}
        aria-label="Show where the picture changed"
        title=${tip("Show where the picture changed", "changes")}
        onClick=${() => ACTIONS.changes(studio)}
      >
        ${icon("changes")}
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

/** Start, stop, and where the edit is.
 * @param {Props} props */
export function Bar({ studio }) {
  const { state } = studio;
  const { session } = state;
  const runs = running(state);
  const untouched = session?.current != null && !state.trails[session.current]?.past.length;
  const word = runs ? "Stop" : session?.can_resume && untouched ? "Go on" : "Start";
  return html`
    <div class="bar">
      <button
        class="primary"
        aria-pressed=${runs}
        title=${tip(word, "toggle")}
        disabled=${!session || state.link !== "open"}
        onClick=${() => studio.toggle()}
      >
        ${icon(runs ? "stop" : "start")}${word}
      </button>
      <${Readout} studio=${studio} />
    </div>
  `;
}

/** @param {Props} props */
function Readout({ studio }) {
  const { state } = studio;
  const { session } = state;
  if (session?.run?.state === "waiting")
    return html`
      <p class="readout">Waiting for the machine: ${ahead(session.run.position)}.</p>
    `;
  const trace = traceOf(state);
  if (!running(state)) {
    const draft = draftOf(state);
    const open = waiting(draft.pairs);
    const ready = complete(draft.pairs).length;
    if (open)
      return html`
        <p class="readout">Now click where point ${draft.pairs.indexOf(open) + 1} shall go.</p>
      `;
    if (trace && session?.ended)
      return html`
        <p class="readout" title=${session.ended}>
          <strong>${ending(session.ended)}</strong>
          ${" "}
          <span class="muted">${numbers(trace, session.ended)}</span>
        </p>
      `;
    if (trace && session?.can_resume)
      return html`
        <p class="readout">
          <strong>Stopped.</strong>
          ${" "}
          <span class="muted">${numbers(trace)}</span>
        </p>
      `;
    if (state.tab === "area")
      return html`
        <p class="readout muted">
          ${isBlank(draft.area) ? "Point at what shall change, or paint it." : "The area is ready."}
        </p>
      `;
    if (!ready)
      return html`
        <p class="readout muted">Drag on the picture: from a point to where it shall go.</p>
      `;
    return html`
      <p class="readout muted">${ready === 1 ? "One point is ready." : `${ready} points are ready.`}</p>
    `;
  }
  if (!trace)
    return html`
      <p class="readout">Starting …</p>
    `;
  const left = Math.max(0, ...trace.distances);
  const first = Math.max(left, ...(state.traces[0]?.distances ?? []), 1e-9);
  const all = stepsOf(/** @type {import("./protocol").RunInfo} */ (session?.run).edit);
  const done = trace.distances.length > 0 ? 1 - left / first : all ? trace.step / all : null;
  return html`
    <div class="readout live">
      ${
        done != null &&
        html`
          <div class="meter"><span style=${{ transform: `scaleX(${done})` }}></span></div>
        `
      }
      <dl class="number">
        <div>
          <dt>Step</dt>
          <dd>
            ${trace.step}${
              all
                ? html`
                    ${" "}
                    <span class="muted">of ${all}</span>
                  `
                : ""
            }
          </dd>
        </div>
        ${
          trace.distances.length > 0 &&
          html`
            <div>
              <dt>To go</dt>
              <dd>${left.toFixed(1)} px</dd>
            </div>
          `
        }
        <div>
          <dt>Time</dt>
          <dd>${trace.seconds.toFixed(1)} s</dd>
        </div>
        ${
          trace.loss != null &&
          html`
            <div class="loss">
              <dt>Loss</dt>
              <dd>${trace.loss.toPrecision(3)}</dd>
            </div>
          `
        }
      </dl>
    </div>
  `;
}

/** How many steps an edit takes, if that is known beforehand.
 * @type {(edit: import("./protocol").Edit) => number | null} */
function stepsOf({ kind, projection, tuning, tuning_steps }) {
  if (kind !== "inversion") return null;
  return Number(projection) + (tuning === "none" ? 0 : Number(tuning_steps));
}
