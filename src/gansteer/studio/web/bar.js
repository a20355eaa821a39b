// Start, stop, and where the edit is.

import { tip } from "./controls.js";
import { icon } from "./icons.js";
import { goesOn, inHand, openKind, running, traceOf } from "./state.js";
import { html } from "./vendor/preact.js";
import { ahead, ending, numbers } from "./words.js";

/** @typedef {{studio: import("./studio.js").Studio}} Props */

/** @param {Props} props */
export function Bar({ studio }) {
  const { state } = studio;
  const runs = running(state);
  const on = goesOn(state);
  const word = runs ? "Stop" : on ? "Go on" : "Start";
  const quiet = !runs && !on && !inHand(state)?.ready?.(state).ok;
  return html`
    <div class="bar">
      <button
        class=${quiet ? "primary quiet" : "primary"}
        aria-pressed=${runs}
        title=${tip(word, "toggle")}
        disabled=${!state.session || state.link !== "open"}
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
      <p class="readout">${`Waiting for the machine: ${ahead(session.run.position)}.`}</p>
    `;
  const trace = traceOf(state);
  if (running(state))
    return trace
      ? html`
          <${Live} studio=${studio} trace=${trace} />
        `
      : html`
          <p class="readout">Starting …</p>
        `;
  const ready = inHand(state)?.ready?.(state);
  if (ready?.first)
    return html`
      <p class="readout">${ready.says}</p>
    `;
  const made = state.kinds.find(({ needs }) => needs === session?.edit?.kind);
  const outcome = session?.ended && !changedSince(state) && made?.outcome?.(state, session.ended);
  if (outcome)
    return html`
      <div class="readout outcome">
        <p>${outcome.says}</p>
        <div class="row wrap">
          ${outcome.offers.map(
            ({ label, act }) => html`
              <button key=${label} class="plain small" onClick=${() => act(studio)}>${label}</button>
            `,
          )}
        </div>
      </div>
    `;
  if (trace && session?.ended && !changedSince(state))
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
  const open = openKind(state); // where the pointer moves what needs no Start, it places no points
  const atOnce = open?.tool === "own" && !open.toEdit && !ready?.ok;
  return html`
    <p class="readout muted">${atOnce ? "What is moved here happens at once." : ready?.says}</p>
  `;
}

/** Whether something was prepared since the edit ended.
 * @type {(state: import("./state.js").State) => boolean} */
const changedSince = (state) => Boolean(state.trails[state.session?.current ?? 0]?.past.length);

/** The edit in progress in numbers.
 * @param {Props & {trace: import("./protocol").StepRecord}} props */
function Live({ studio, trace }) {
  const { state } = studio;
  const kind = state.kinds.find(({ needs }) => needs === state.session?.run?.edit.kind);
  const { share = null, steps = null, facts = [] } = kind?.readout?.(state, trace) ?? {};
  return html`
    <div class="readout live">
      ${
        share != null &&
        html`
          <div class="meter"><span style=${{ transform: `scaleX(${share})` }}></span></div>
        `
      }
      <dl class="number">
        <div>
          <dt>Step</dt>
          <dd>
            ${trace.step}${
              steps
                ? html`
                    ${" "}
                    <span class="muted">${`of ${steps}`}</span>
                  `
                : ""
            }
          </dd>
        </div>
        ${facts.map(
          ([name, value]) => html`
            <div key=${name}>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>
          `,
        )}
        <div>
          <dt>Time</dt>
          <dd>${`${trace.seconds.toFixed(1)} s`}</dd>
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
