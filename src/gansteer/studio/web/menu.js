// The menu: sessions and files.

import { ACTIONS } from "./actions.js";
import { icon } from "./icons.js";
import { recent, strike } from "./keeping.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { sentence } from "./words.js";

/** @typedef {import("./keeping.js").Earlier} Earlier */

const MOST = 5; // earlier sessions in the menu

/** @param {{studio: import("./studio.js").Studio}} props */
export function Menu({ studio }) {
  const [open, setOpen] = useState(false);
  const [doomed, setDoomed] = useState("");
  const [others, setOthers] = useState(/** @type {Earlier[]} */ ([]));
  /** @type {import("./vendor/preact.js").Ref<HTMLElement>} */
  const box = useRef(null);
  useEffect(() => {
    if (!open) return undefined;
    const outside = (/** @type {PointerEvent} */ event) => {
      if (!box.current.contains(/** @type {Node} */ (event.target))) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    return () => removeEventListener("pointerdown", outside);
  }, [open]);
  useEffect(() => {
    if (!open) return undefined;
    let here = true;
    const known = recent().filter((one) => one.key !== studio.wire.session);
    studio.wire.kept(known).then((kept) => here && setOthers(kept.slice(0, MOST)));
    return () => {
      here = false;
      setOthers([]);
      setDoomed("");
    };
  }, [open]);
  /** @param {() => void} act */
  const then = (act) => () => {
    setOpen(false);
    act();
  };
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    if (event.key !== "Escape" || !open) return;
    setOpen(false);
    box.current.querySelector("button")?.focus();
    event.preventDefault();
    event.stopPropagation();
  };
  /** @param {string} session */
  const drop = async (session) => {
    try {
      await studio.wire.forget(session);
      strike(session);
      setOthers(others.filter((one) => one.key !== session));
      studio.tell("The session is deleted.");
    } catch (error) {
      studio.complain(sentence(/** @type {Error} */ (error).message));
    }
    setDoomed("");
  };
  /** @param {Earlier} one */
  const earlier = (one) =>
    doomed === one.key
      ? html`
          <div class="row" key=${one.key}>
            <button class="grow" onClick=${() => drop(one.key)}>${icon("trash")}Delete for good</button>
            <button class="grow" onClick=${() => setDoomed("")}>Keep it</button>
          </div>
        `
      : html`
          <div class="row" key=${one.key}>
            <button class="grow" onClick=${() => studio.enter(one.key)}>
              <span class="grow">${when(one.when)}</span>
              ${
                one.pictures > 0 &&
                html`
                  <small class="muted">${one.pictures === 1 ? "1 picture" : `${one.pictures} pictures`}</small>
                `
              }
            </button>
            <button
              class="icon"
              aria-label=${`Delete the session of ${when(one.when)}`}
              title="Delete this session"
              onClick=${() => setDoomed(one.key)}
            >
              ${icon("trash")}
            </button>
          </div>
        `;
  const days = studio.state.welcome?.keep_days;
  return html`
    <div class="menu" ref=${box} onKeyDown=${key}>
      <button
        class="icon"
        aria-label="Sessions and files"
        title="Sessions and files"
        aria-expanded=${open}
        onClick=${() => setOpen(!open)}
      >
        ${icon("menu")}
      </button>
      ${
        open &&
        html`
          <div class="popover">
            <button onClick=${then(() => ACTIONS.save(studio))}>${icon("download")}Save the session</button>
            <button onClick=${then(() => ACTIONS.open(studio))}>
              ${icon("folder")}Open a session, picture or photo
            </button>
            <button onClick=${then(() => studio.fresh())}>${icon("plus")}New session</button>
            ${
              others.length > 0 &&
              html`
                <hr />
                <h3 class="muted">Earlier sessions</h3>
                ${others.map(earlier)}
                ${
                  days != null &&
                  html`
                    <p class="muted">Deleted when nobody opened them for ${days} days.</p>
                  `
                }
              `
            }
          </div>
        `
      }
    </div>
  `;
}

/** @type {(time: number) => string} */
const when = (time) =>
  new Date(time).toLocaleString(undefined, {
    weekday: "short",
    day: "numeric",
    month: "short",
    hour: "numeric",
    minute: "2-digit",
  });
