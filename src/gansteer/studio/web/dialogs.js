// What opens over the page: hot keys, export, models, sessions.

import { Align } from "./align.js";
import { MAC } from "./controls.js";
import { STAGE_KEYS, KEYS, shown } from "./keys.js";
import { icon } from "./icons.js";
import { Export } from "./export.js";
import { Sessions } from "./sessions.js";
import { present } from "./state.js";
import { html, useEffect, useRef } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{studio: Studio}} Props */

/** @param {Props} props */
export function Dialogs({ studio }) {
  const { dialog } = studio.state;
  if (dialog === "help")
    return html`
      <${Dialog} studio=${studio} title="Hot keys"><${Help} studio=${studio} /><//>
    `;
  if (dialog === "export")
    return html`
      <${Dialog} studio=${studio} title="Export"><${Export} studio=${studio} /><//>
    `;
  if (dialog === "photo" && studio.state.sight)
    return html`
      <${Dialog} studio=${studio} title="Photo" wide><${Align} studio=${studio} /><//>
    `;
  if (dialog === "sessions")
    return html`
      <${Dialog} studio=${studio} title="Sessions" wide><${Sessions} studio=${studio} /><//>
    `;
  if (dialog === "model")
    return html`
      <${Dialog} studio=${studio} title="Model"><${Models} studio=${studio} /><//>
    `;
  return null;
}

/** @param {Props & {title: string, wide?: boolean, children: unknown}} props */
function Dialog({ studio, title, wide, children }) {
  /** @type {import("./vendor/preact.js").Ref<HTMLDialogElement>} */
  const ref = useRef(null);
  useEffect(() => {
    const opener = document.activeElement;
    ref.current.showModal();
    return () => {
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  const close = () => studio.store.set({ dialog: null });
  /** @param {MouseEvent} event */
  const outside = (event) => event.target === ref.current && close();
  return html`
    <dialog ref=${ref} class=${wide ? "wide" : ""} aria-label=${title} onClose=${close} onPointerDown=${outside}>
      <header>
        <h2>${title}</h2>
        <button class="icon" aria-label="Close" onClick=${close}>${icon("close")}</button>
      </header>
      <div class="body">${children}</div>
    </dialog>
  `;
}

/** @param {Props} props */
function Help({ studio }) {
  const all = [...KEYS, ...STAGE_KEYS];
  const groups = [...new Set(all.map((key) => key.group))];
  return html`
    <label class="check">
      <input
        type="checkbox"
        checked=${studio.state.settings.keys}
        onChange=${() => studio.prefer({ keys: !studio.state.settings.keys })}
      />
      Single letters are hot keys
    </label>
    ${groups.map(
      (group) => html`
        <section key=${group}>
          <h3>${group}</h3>
          <dl class="keys">
            ${all
              .filter((key) => key.group === group)
              .map(
                (key) => html`
                  <div key=${key.what}>
                    <dt>${key.what}</dt>
                    <dd>
                      ${key.keys.map(
                        (keys, i) => html`
                          ${
                            i > 0 &&
                            html`
                              <span class="muted">${" or "}</span>
                            `
                          }${shown(keys, MAC).map(
                            (one) => html`
                              <kbd>${one}</kbd>
                            `,
                          )}
                        `,
                      )}
                    </dd>
                  </div>
                `,
              )}
          </dl>
        </section>
      `,
    )}
  `;
}

/** @param {Props} props */
function Models({ studio }) {
  const { welcome } = studio.state;
  const now = present(studio.state)?.model;
  /** @param {import("./protocol").ModelInfo} model */
  const choose = (model) => {
    studio.sample(model.first, model.name, model.classes ? 0 : null);
    studio.store.set({ dialog: null, view: null });
  };
  return html`
    <ul class="stack">
      ${(welcome?.models ?? []).map(
        (model) => html`
          <li key=${model.name} class="card stack">
            <div class="row">
              <h3 class="grow">${model.name}</h3>
              ${
                model.name === now
                  ? html`
                      <span class="muted">In use</span>
                    `
                  : html`
                      <button class="plain small" onClick=${() => choose(model)}>Use</button>
                    `
              }
            </div>
            <p>${model.description || model.domain}</p>
            <dl class="facts">
              <div>
                <dt>Draws</dt>
                <dd>${model.domain}</dd>
              </div>
              <div>
                <dt>Size</dt>
                <dd>${model.resolution} × ${model.resolution} px</dd>
              </div>
              <div>
                <dt>Licence</dt>
                <dd>${model.licence}</dd>
              </div>
            </dl>
            ${
              model.limits.length > 0 &&
              html`
                <details>
                  <summary>What it can't do</summary>
                  <ul class="limits">
                    ${model.limits.map(
                      (limit) => html`
                        <li>${limit}</li>
                      `,
                    )}
                  </ul>
                </details>
              `
            }
            <${Table} title="How it was trained" rows=${model.training} />
            <${Table} title="What was measured" rows=${model.metrics} />
          </li>
        `,
      )}
    </ul>
  `;
}

/** @param {{title: string, rows: Record<string, unknown>}} props */
function Table({ title, rows }) {
  const entries = flat(rows);
  if (!entries.length) return null;
  return html`
    <details>
      <summary>${title}</summary>
      <dl class="facts">
        ${entries.map(
          ([name, value]) => html`
            <div>
              <dt>${name}</dt>
              <dd>${value}</dd>
            </div>
          `,
        )}
      </dl>
    </details>
  `;
}

/** Nested records as lines.
 * @type {(rows: Record<string, unknown>, prefix?: string) => [string, string][]} */
function flat(rows, prefix = "") {
  return Object.entries(rows).flatMap(([name, value]) => {
    const key = `${prefix}${name.replaceAll("_", " ")}`;
    if (value && typeof value === "object" && !Array.isArray(value))
      return flat(/** @type {Record<string, unknown>} */ (value), `${key}, `);
    const shown = typeof value === "number" ? Number(value.toPrecision(4)) : value;
    return value == null || Array.isArray(value) ? [] : [/** @type {[string, string]} */ ([key, String(shown)])];
  });
}
