// The menu: sessions and files.

import { ACTIONS } from "./actions.js";
import { icon } from "./icons.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";

/** @param {{studio: import("./studio.js").Studio}} props */
export function Menu({ studio }) {
  const [open, setOpen] = useState(false);
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
            <button onClick=${then(() => studio.store.set({ dialog: "sessions" }))}>
              ${icon("sessions")}Sessions …
            </button>
          </div>
        `
      }
    </div>
  `;
}
