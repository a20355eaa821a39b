// The gallery: pictures of many seeds to begin with.

import { Range } from "./controls.js";
import { icon } from "./icons.js";
import { present } from "./state.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const COUNT = 12;
const LARGEST = 2 ** 32 - 1;

/** New seeds in the places that aren't locked.
 * @type {(seeds: number[], locked: Set<number>, random: () => number) => number[]} */
export function shuffled(seeds, locked, random) {
  const taken = new Set(seeds.filter((seed) => locked.has(seed)));
  return seeds.map((seed) => {
    if (locked.has(seed)) return seed;
    let next = Math.floor(random() * 100000);
    while (taken.has(next)) next++;
    taken.add(next);
    return next;
  });
}

/** @param {{studio: import("./studio.js").Studio}} props */
export function Gallery({ studio }) {
  const { state } = studio;
  const { stars, spread } = state.settings;
  const [seeds, setSeeds] = useState(() => Array.from({ length: COUNT }, (_, i) => i));
  const [locked, setLocked] = useState(() => /** @type {Set<number>} */ (new Set()));
  const [drawn, setDrawn] = useState(spread);
  useEffect(() => {
    const timer = setTimeout(() => setDrawn(spread), 300);
    return () => clearTimeout(timer);
  }, [spread]);
  /** @param {number} seed */
  const lock = (seed) => setLocked((before) => toggled(before, seed));
  /** @param {number} seed */
  const star = (seed) => studio.prefer({ stars: [...toggled(new Set(stars), seed)] });
  /** @param {SubmitEvent} event */
  const typed = (event) => {
    event.preventDefault();
    const seed = Number(new FormData(/** @type {HTMLFormElement} */ (event.target)).get("seed"));
    if (Number.isInteger(seed) && seed >= 0 && seed <= LARGEST) studio.sample(seed);
    else studio.complain(`A number is a whole one from 0 to ${LARGEST}.`);
  };
  const tiles = (/** @type {number[]} */ list) =>
    list.map(
      (seed) => html`
        <${Tile}
          key=${seed}
          studio=${studio}
          seed=${seed}
          psi=${drawn}
          locked=${locked.has(seed)}
          starred=${stars.includes(seed)}
          lock=${seeds.includes(seed) ? () => lock(seed) : null}
          star=${() => star(seed)}
        />
      `,
    );
  return html`
    <div class="stack wide">
      <div class="row">
        <h2 class="grow">Gallery</h2>
        <button class="plain small" onClick=${() => setSeeds(shuffled(seeds, locked, Math.random))}>
          ${icon("shuffle")}Shuffle
        </button>
      </div>
      <${Range}
        label="Variety"
        shown=${spread.toFixed(2)}
        min="0"
        max="1"
        step="0.05"
        value=${spread}
        use=${(/** @type {number} */ value) => studio.prefer({ spread: value })}
      />
      <ul class="tiles">
        ${tiles(seeds)}
      </ul>
      ${
        stars.length > 0 &&
        html`
          <h3>Starred</h3>
          <ul class="tiles">
            ${tiles(stars)}
          </ul>
        `
      }
      <form class="row" onSubmit=${typed}>
        <label class="grow row">
          <span>Number</span>
          <input name="seed" type="number" min="0" max=${LARGEST} aria-label="Number of a picture" />
        </label>
        <button class="plain small">Show</button>
      </form>
    </div>
  `;
}

/** @type {(all: Set<number>, one: number) => Set<number>} */
function toggled(all, one) {
  const next = new Set(all);
  if (!next.delete(one)) next.add(one);
  return next;
}

/** @param {{studio: import("./studio.js").Studio, seed: number, psi: number, locked: boolean, starred: boolean,
 *   lock: (() => void) | null, star: () => void}} props */
function Tile({ studio, seed, psi, locked, starred, lock, star }) {
  const model = present(studio.state)?.model ?? "";
  const src = studio.wire.file(`seed/${seed}`, { model, psi, size: 96 });
  return html`
    <li class="tile">
      <button
        class="show"
        aria-label=${`Picture ${seed}`}
        title=${`Picture ${seed}`}
        onClick=${() => studio.sample(seed)}
      >
        <img alt="" src=${src} width="96" height="96" loading="lazy" draggable=${false} />
      </button>
      <div class="row tight">
        ${
          lock &&
          html`
            <button
              class="icon small"
              aria-pressed=${locked}
              aria-label=${`Keep picture ${seed} when shuffling`}
              title="Keep when shuffling"
              onClick=${lock}
            >
              ${icon(locked ? "lock" : "unlock")}
            </button>
          `
        }
        <button
          class="icon small"
          aria-pressed=${starred}
          aria-label=${`Star picture ${seed}`}
          title="Star"
          onClick=${star}
        >
          ${icon("star")}
        </button>
      </div>
    </li>
  `;
}
