// What stands above everything: the model, undo and redo, export, and the menu.

import { ACTIONS } from "./actions.js";
import { Act, tip } from "./controls.js";
import { icon } from "./icons.js";
import { Menu } from "./menu.js";
import { present } from "./state.js";
import { html } from "./vendor/preact.js";

/** @typedef {{studio: import("./studio.js").Studio}} Props */

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
