// The page: puts the parts together and draws them anew when the state changes.

import { pressed, released } from "./actions.js";
import { Dialogs } from "./dialogs.js";
import { Bar } from "./bar.js";
import { KINDS } from "./edits/index.js";
import { Header } from "./header.js";
import { History } from "./history.js";
import { ViewControls } from "./looking.js";
import { Panels } from "./panels.js";
import { Stage } from "./stage.js";
import { Studio } from "./studio.js";
import { Rail, ToolOptions } from "./tools.js";
import { html, render, useEffect, useState } from "./vendor/preact.js";

/** @param {{studio: Studio}} props */
function App({ studio }) {
  const [, redraw] = useState(0);
  useEffect(() => {
    let asked = 0;
    const draw = () => {
      asked ||= requestAnimationFrame(() => {
        asked = 0;
        redraw((n) => n + 1);
      });
    };
    studio.store.listeners.add(draw);
    draw();
    return () => studio.store.listeners.delete(draw);
  }, []);
  useTheme(studio.state.settings.theme);
  useEffect(() => manners(studio), []);
  const { state } = studio;
  return html`
    <${Header} studio=${studio} />
    <main class="work">
      <${Rail} studio=${studio} />
      <div class="centre">
        <div class="stage-wrap">
          <${Stage} studio=${studio} />
          <${ToolOptions} studio=${studio} />
          <${ViewControls} studio=${studio} />
          <${Cover} studio=${studio} />
          <${Notice} studio=${studio} />
        </div>
        <${Bar} studio=${studio} />
      </div>
      <${Panels} studio=${studio} />
      <${History} studio=${studio} />
    </main>
    <${Dialogs} studio=${studio} />
    ${
      state.dropping &&
      html`
        <div class="dropping" aria-hidden="true">Drop a photo, a picture or a session here</div>
      `
    }
    <div class="unseen" role="status" aria-live="polite">${state.said}</div>
  `;
}

/** What is over the picture when there is none to work on.
 * @param {{studio: Studio}} props */
function Cover({ studio }) {
  const { link, reason, session, welcome } = studio.state;
  if (link === "lost")
    return html`
      <p class="cover" role="alert">The line to the studio is lost; nothing of yours is. Trying again …</p>
    `;
  if (link === "refused")
    return html`
      <div class="cover" role="alert">
        <p>${reason || "The studio closed the line."}</p>
        <button class="plain" onClick=${() => location.reload()}>Load the page again</button>
      </div>
    `;
  if (welcome && !welcome.models.length)
    return html`
      <p class="cover" role="alert">
        There is no model here. Start the studio with${" "}
        <code>--models FOLDER</code>
        .
      </p>
    `;
  if (!session || session.current == null)
    return html`
      <p class="cover quiet">A picture is on its way …</p>
    `;
  return null;
}

/** @param {{studio: Studio}} props */
function Notice({ studio }) {
  const { notice, uploading } = studio.state;
  const close = () => studio.store.set({ notice: null });
  useEffect(() => {
    if (notice?.kind !== "plain" || uploading) return undefined;
    const timer = setTimeout(close, 6000);
    return () => clearTimeout(timer);
  }, [notice, uploading]);
  return html`
    <div class="notices" aria-live="assertive">
      ${
        notice &&
        html`
          <p class=${`notice ${notice.kind}`}>
            <span>${notice.text}</span>
            <button class="small" onClick=${close}>Close</button>
          </p>
        `
      }
    </div>
  `;
}

/** @param {"auto" | "light" | "dark"} theme */
function useTheme(theme) {
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const apply = () => {
      document.documentElement.dataset.theme = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
    };
    apply();
    dark.addEventListener("change", apply);
    return () => dark.removeEventListener("change", apply);
  }, [theme]);
}

/** Hot keys, dropped files, and leaving the page: of the whole window.
 * @param {Studio} studio */
function manners(studio) {
  const away = new AbortController();
  const { signal } = away;
  addEventListener("keydown", (event) => pressed(studio, event), { signal });
  addEventListener("keyup", (event) => released(studio, event), { signal });
  addEventListener("blur", () => studio.store.set({ peeking: false, panning: false }), { signal });
  const over = (/** @type {boolean} */ dropping) =>
    studio.state.dropping !== dropping && studio.store.set({ dropping });
  addEventListener(
    "dragover",
    (event) => {
      event.preventDefault();
      over(event.dataTransfer?.types.includes("Files") ?? false);
    },
    { signal },
  );
  addEventListener("dragleave", (event) => event.relatedTarget == null && over(false), { signal });
  addEventListener(
    "drop",
    (event) => {
      event.preventDefault();
      over(false);
      const [file] = event.dataTransfer?.files ?? [];
      if (file) studio.receive(file);
    },
    { signal },
  );
  addEventListener(
    "paste",
    (event) => {
      const [file] = event.clipboardData?.files ?? [];
      if (file) studio.receive(file);
    },
    { signal },
  );
  addEventListener("pagehide", () => studio.keep(studio.state.session?.current ?? -1), { signal });
  return () => away.abort();
}

const root = /** @type {HTMLElement} */ (document.getElementById("app"));
const studio = new Studio(KINDS);
render(
  html`
    <${App} studio=${studio} />
  `,
  root,
);
studio.wire.open();
Object.assign(globalThis, { studio }); // for the console, and the tests
