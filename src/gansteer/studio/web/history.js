// The history: every picture of the session, newest branches below, to go back to, to branch from and to compare with.

import { choice, num } from "./controls.js";
import { beforeOf, present } from "./state.js";
import { html, useEffect, useRef, useState } from "./vendor/preact.js";
import { titled } from "./words.js";

/** @typedef {import("./protocol").NodeInfo} NodeInfo */
/** @typedef {{node: NodeInfo, column: number, row: number}} Placed */

/** What a node stands beside: what it was made of; a mix stands beside the picture that it was mixed into.
 * @type {(node: Pick<NodeInfo, "parent" | "mixed">) => number | null} */
const above = ({ parent, mixed }) => parent ?? mixed?.b ?? null;

/** Where every node stands: a child one column on; the first child in its parent's row, others in rows of
 * their own. Pictures of which nothing was made share the last row.
 * @type {(nodes: NodeInfo[]) => Placed[]} */
export function arranged(nodes) {
  /** @type {Map<number | null, NodeInfo[]>} */
  const children = new Map();
  for (const node of nodes) children.set(above(node), [...(children.get(above(node)) ?? []), node]);
  /** @type {Placed[]} */
  const placed = [];
  let rows = 0;
  /** @param {NodeInfo} root @param {number} column @param {number} row */
  const walk = (root, column, row) => {
    const open = [{ node: root, column, row }];
    for (let at = open.pop(); at; at = open.pop()) {
      if (at.row < 0) at.row = rows++;
      placed.push(at);
      const { node, column: here, row: own } = at;
      const next = (children.get(node.id) ?? []).map((child, i) => ({
        node: child,
        column: here + 1,
        row: i ? -1 : own,
      }));
      open.push(...next.reverse()); // the first child is taken first
    }
  };
  const roots = children.get(null) ?? [];
  for (const root of roots.filter((one) => children.has(one.id))) walk(root, 0, rows++);
  const alone = roots.filter((one) => !children.has(one.id)); // side by side
  return [...placed, ...alone.map((node, column) => ({ node, column, row: rows }))];
}

const [WIDE, HIGH] = [84, 92]; // CSS pixels of a cell
const THUMB = 64;
const EDGE = 12; // CSS pixels beside an entry; the strip is as wide as whole entries with these

/** @param {{studio: import("./studio.js").Studio}} props */
export function History({ studio }) {
  const { state } = studio;
  const nodes = state.session?.nodes ?? [];
  /** @type {import("./vendor/preact.js").Ref<HTMLElement>} */
  const box = useRef(null);
  const [tall, setTall] = useState(false);
  const current = state.session?.current;
  useEffect(() => {
    const show = () => reveal(box.current);
    show();
    const watch = new ResizeObserver(show); // what stands beside the strip comes and goes
    watch.observe(box.current);
    return () => watch.disconnect();
  }, [current, nodes.length, tall]);
  const placed = arranged(nodes);
  const at = new Map(placed.map((one) => [one.node.id, one]));
  const columns = Math.max(1, ...placed.map((one) => one.column + 1));
  const rows = Math.max(1, ...placed.map((one) => one.row + 1));
  const before = beforeOf(state);
  return html`
    <section class=${`history${tall ? " tall" : ""}`} aria-label="History">
      <div class="strip">
        <div class="scroll" ref=${box}>
          <div class="tree" style=${{ width: `${columns * WIDE - 4}px`, height: `${rows * HIGH}px` }}>
            <svg class="branches" aria-hidden="true" width=${columns * WIDE} height=${rows * HIGH}>
              ${placed.flatMap((one) =>
                [above(one.node), one.node.mixed?.a].map((id) => {
                  const from = id == null ? undefined : at.get(id);
                  return (
                    from &&
                    html`
                      <path d=${line(from, one)} />
                    `
                  );
                }),
              )}
            </svg>
            ${placed.map(
              (one) => html`
                <${Entry}
                  key=${one.node.id}
                  studio=${studio}
                  placed=${one}
                  before=${one.node.id === before && state.comparing !== "off"}
                />
              `,
            )}
          </div>
        </div>
      </div>
      ${
        rows > 1 &&
        html`
          <button class="small more" aria-expanded=${tall} onClick=${() => setTall(!tall)}>
            ${tall ? "Less" : "All branches"}
          </button>
        `
      }
      <${Between} studio=${studio} />
    </section>
  `;
}

/** Scroll the strip, and nothing but the strip, until the present picture is in view.
 * @param {HTMLElement} box */
function reveal(box) {
  const entry = box.querySelector("[aria-current]");
  if (!entry) return;
  const [inner, outer] = [entry.getBoundingClientRect(), box.getBoundingClientRect()];
  const over = (/** @type {[number, number]} */ [from, to], /** @type {[number, number]} */ [low, high]) =>
    from < low ? from - low : Math.max(0, Math.min(to - high, from - low));
  // Not by scrollBy: with rows that snap, a browser gives up the whole of a move whose part downwards snaps back.
  box.scrollLeft += over([inner.left - EDGE, inner.right + EDGE], [outer.left, outer.left + box.clientWidth]);
  box.scrollTop += over([inner.top - 4, inner.bottom + 4], [outer.top, outer.top + box.clientHeight]);
}

/** @type {(parent: Placed, child: Placed) => string} */
function line(parent, child) {
  const [x, y] = [parent.column * WIDE + THUMB + 8, parent.row * HIGH + 8 + THUMB / 2];
  const [tx, ty] = [child.column * WIDE + 8, child.row * HIGH + 8 + THUMB / 2];
  return y === ty ? `M${x} ${y}H${tx}` : `M${x + 10} ${y}V${ty - 8}q0 8 8 8H${tx}`;
}

/** @param {{studio: import("./studio.js").Studio, placed: Placed, before: boolean}} props */
function Entry({ studio, placed, before }) {
  const { node, column, row } = placed;
  const { session } = studio.state;
  const here = session?.current === node.id;
  const runs = session?.run?.node === node.id;
  const now = runs ? ", running" : node.done ? "" : ", stopped";
  const words = `${titled(node, studio.state)}${now}${before ? ", compared with" : ""}`;
  return html`
    <button
      class=${`entry${before ? " before" : ""}`}
      title=${words}
      aria-label=${words}
      aria-current=${here ? "step" : undefined}
      style=${{ left: `${column * WIDE + 4}px`, top: `${row * HIGH + 4}px` }}
      onClick=${() => studio.go(node.id)}
    >
      <${Thumb} studio=${studio} node=${node} becoming=${runs || (here && studio.state.turning)} runs=${runs} />
      <span class="name">${titled(node, studio.state)}</span>
    </button>
  `;
}

/** A small picture: drawn from the stage while it is the one there, under the one that comes when it is done.
 * @param {{studio: import("./studio.js").Studio, node: NodeInfo, becoming: boolean, runs: boolean}} props */
function Thumb({ studio, node, becoming, runs }) {
  /** @type {import("./vendor/preact.js").Ref<HTMLCanvasElement>} */
  const ref = useRef(null);
  useEffect(() => {
    if (studio.picture && studio.state.shown === node.id)
      ref.current.getContext("2d")?.drawImage(studio.picture, 0, 0, 2 * THUMB, 2 * THUMB);
  });
  return html`
    <span class=${runs ? "thumb busy" : "thumb"}>
      <canvas ref=${ref} width=${2 * THUMB} height=${2 * THUMB}></canvas>
      ${
        !becoming &&
        html`
          <img
            alt=""
            loading="lazy"
            draggable=${false}
            src=${studio.wire.file(`node/${node.id}`, { size: 96, at: node.steps })}
          />
        `
      }
    </span>
  `;
}

/** Compare the present picture with any other, and mix the two.
 * @param {{studio: import("./studio.js").Studio}} props */
function Between({ studio }) {
  const { state } = studio;
  const node = present(state);
  const others = (state.session?.nodes ?? []).filter((one) => one.id !== node?.id && one.model === node?.model);
  const before = beforeOf(state);
  if (!node || !others.length || state.session?.run) return null;
  /** @param {number} blend @param {boolean} keep */
  const mix = (blend, keep) => {
    studio.store.set({ blend: keep ? 1 : blend });
    if (before != null) studio.send({ type: "interpolate", a: before, b: node.id, t: blend, keep });
  };
  return html`
    <div class="between stack">
      <label class="field">
        Compare with
        <select
          value=${String(before ?? "")}
          onChange=${choice((id) => studio.store.set({ before: Number(id), blend: 1 }))}
        >
          ${
            before == null &&
            html`
              <option value="" selected disabled>Choose</option>
            `
          }
          ${others.map(
            (one) => html`
              <option key=${one.id} value=${String(one.id)} selected=${one.id === before}>
                ${titled(one, state)}${nth(one, others)}
              </option>
            `,
          )}
        </select>
      </label>
      ${
        before != null &&
        html`
          <div class="row">
            <label class="grow field">
              Mix of both
              <input
                type="range"
                min="0"
                max="1"
                step="0.02"
                value=${state.blend}
                aria-valuetext=${`${Math.round(state.blend * 100)} % of the present picture`}
                onInput=${num((blend) => mix(blend, false))}
              />
            </label>
            <button class="plain small" disabled=${state.blend === 1} onClick=${() => mix(state.blend, true)}>
              Keep
            </button>
          </div>
        `
      }
    </div>
  `;
}

/** Tells entries of the same title apart.
 * @type {(node: NodeInfo, all: NodeInfo[]) => string} */
function nth(node, all) {
  const same = all.filter((one) => one.title === node.title);
  return same.length > 1 ? `, no. ${same.indexOf(node) + 1}` : "";
}
