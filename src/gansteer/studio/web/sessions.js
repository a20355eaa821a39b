// All sessions that the studio has kept: by picture and name, to be opened, renamed and deleted.

import { icon } from "./icons.js";
import { strike } from "./keeping.js";
import { html, useEffect, useState } from "./vendor/preact.js";
import { sentence } from "./words.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {import("./protocol").SessionInfo} SessionInfo */

const LONGEST_NAME = 80;

/** @param {{studio: Studio}} props */
export function Sessions({ studio }) {
  const [all, setAll] = useState(/** @type {SessionInfo[] | null} */ (null));
  const [problem, setProblem] = useState("");
  const load = () => studio.wire.sessions().then(setAll, (/** @type {Error} */ error) => setProblem(error.message));
  useEffect(() => void load(), [studio.state.session?.saved]);
  /** @param {Promise<unknown>} doing @param {string} said */
  const then = async (doing, said) => {
    try {
      await doing;
      setProblem("");
      studio.say(said);
    } catch (error) {
      setProblem(sentence(/** @type {Error} */ (error).message));
    }
    load();
  };
  const days = studio.state.welcome?.keep_days;
  return html`
    ${
      problem &&
      html`
        <p role="alert">${problem}</p>
      `
    }
    ${
      all?.length === 0 &&
      html`
        <p class="muted">None yet. A session is kept from its first change on.</p>
      `
    }
    <ul class="sessions">
      ${(all ?? []).map(
        (one) => html`
          <${Card}
            key=${one.key}
            studio=${studio}
            session=${one}
            rename=${(/** @type {string} */ name) => then(studio.wire.rename(one.key, name), "Renamed.")}
            forget=${() =>
              then(
                studio.wire.forget(one.key).then(() => strike(one.key)),
                "The session is deleted.",
              )}
          />
        `,
      )}
    </ul>
    ${
      all &&
      html`
        <p class="muted">
          ${`Kept by the studio${days == null ? "" : `, and deleted when nobody opened them for ${days} days`}. `} Every
          browser that may talk to this studio finds them here.
        </p>
      `
    }
  `;
}

/** @param {{studio: Studio, session: SessionInfo, rename: (name: string) => void, forget: () => void}} props */
function Card({ studio, session, rename, forget }) {
  const { key, name, pictures, changed, shown } = session;
  const [doomed, setDoomed] = useState(false);
  const here = key === studio.wire.session;
  const date = when(changed);
  const called = name || date;
  const facts = [name && date, pictures && (pictures === 1 ? "1 picture" : `${pictures} pictures`)].filter(Boolean);
  /** @param {Event} event */
  const typed = (event) => rename(/** @type {HTMLInputElement} */ (event.currentTarget).value);
  return html`
    <li class=${here ? "session here" : "session"}>
      <button
        class="show"
        disabled=${here}
        aria-label=${here ? `${called}, open here` : `Open ${called}`}
        title=${here ? "Open here" : "Open"}
        onClick=${() => studio.enter(key)}
      >
        <img
          alt=""
          width="192"
          height="192"
          loading="lazy"
          draggable=${false}
          src=${studio.wire.path(`session/${key}/picture`, { at: Math.round(changed) })}
        />
      </button>
      <input
        aria-label=${`Name of the session of ${date}`}
        placeholder=${date}
        maxlength=${LONGEST_NAME}
        defaultValue=${name}
        onChange=${typed}
      />
      ${
        doomed
          ? html`
              <div class="row tight">
                <button class="small grow" onClick=${forget}>${icon("trash")}Delete for good</button>
                <button class="small" onClick=${() => setDoomed(false)}>Keep it</button>
              </div>
            `
          : html`
              <div class="row tight">
                <small class="grow muted">
                  ${here ? "Open here" : shown ? "Open in another tab" : facts.join(" · ") || "Kept"}
                </small>
                <button
                  class="icon small"
                  disabled=${here || shown}
                  aria-label=${`Delete ${called}`}
                  title="Delete this session"
                  onClick=${() => setDoomed(true)}
                >
                  ${icon("trash")}
                </button>
              </div>
            `
      }
    </li>
  `;
}

/** @type {(time: number) => string} */
const when = (time) =>
  new Date(time).toLocaleString(undefined, {
    day: "numeric",
    month: "short",
    hour: "numeric",
    minute: "2-digit",
  });
