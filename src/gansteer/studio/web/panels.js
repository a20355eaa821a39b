// The panels beside the picture. A panel is there when the server can do what it is for.

import { Gallery } from "./gallery.js";
import { kindsOf } from "./state.js";
import { html, useEffect, useRef } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */
/** @typedef {Pick<import("./edits/index.js").Kind, "tab" | "label" | "Panel" | "tool">} Tab */

/** @type {Tab} */
const GALLERY = { tab: "gallery", label: "Gallery", Panel: Gallery };

/** @param {Props} props */
export function Panels({ studio }) {
  const { state } = studio;
  /** @type {Tab[]} */
  const tabs = [...kindsOf(state), GALLERY];
  const chosen = tabs.find(({ tab }) => tab === state.tab) ?? tabs[0];
  /** @type {import("./vendor/preact.js").Ref<HTMLElement>} */
  const top = useRef(null);
  const was = useRef(chosen.tab);
  useEffect(() => {
    if (was.current !== chosen.tab) top.current.scrollIntoView(); // on a telephone it is below the picture
    was.current = chosen.tab;
  }, [chosen.tab]);
  /** @param {KeyboardEvent} event */
  const key = (event) => {
    const way = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!way) return;
    const next = tabs[(tabs.indexOf(chosen) + way + tabs.length) % tabs.length];
    open(studio, next);
    document.getElementById(`tab-${next.tab}`)?.focus();
    event.preventDefault();
  };
  return html`
    <section class="panels" aria-label="What to change">
      <div class="tabs" ref=${top} role="tablist" onKeyDown=${key}>
        ${tabs.map(
          (one) => html`
            <button
              key=${one.tab}
              id=${`tab-${one.tab}`}
              role="tab"
              aria-selected=${one === chosen}
              aria-controls="panel"
              tabindex=${one === chosen ? 0 : -1}
              onClick=${() => open(studio, one)}
            >
              ${one.label}
            </button>
          `,
        )}
      </div>
      <div
        class="panel"
        id="panel"
        key=${chosen.tab}
        role="tabpanel"
        aria-labelledby=${`tab-${chosen.tab}`}
        tabindex="0"
      >
        <${chosen.Panel} studio=${studio} />
      </div>
    </section>
  `;
}

/** The brush paints what the panel is about.
 * @param {Studio} studio @param {Tab} panel */
function open(studio, { tab, tool }) {
  const now = studio.state.tool;
  studio.store.set({ tab, tool: tool ?? (now === "region" || now === "own" ? "points" : now) });
}
