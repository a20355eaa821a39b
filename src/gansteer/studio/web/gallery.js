// The gallery: pictures of many seeds to begin with, to mix with, and to make a film through.

import { Meter, Range } from "./controls.js";
import { icon } from "./icons.js";
import { walk } from "./saving.js";
import { present, running } from "./state.js";
import { html, useEffect, useState } from "./vendor/preact.js";

const COUNT = 12;
const LARGEST = 2 ** 32 - 1;
const MOST_STOPS = 24; // of a film

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
  const [takes, setTakes] = useState(/** @type {"fine" | "coarse"} */ ("fine"));
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
          mix=${() => studio.mix(seed, takes)}
          takes=${takes}
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
      <div class="field">
        <span id="mix-takes">Mixing gives the present picture another's</span>
        <div class="segmented" role="group" aria-labelledby="mix-takes">
          <button aria-pressed=${takes === "fine"} onClick=${() => setTakes("fine")}>Colours</button>
          <button aria-pressed=${takes === "coarse"} onClick=${() => setTakes("coarse")}>Shape</button>
        </div>
      </div>
      <ul class="tiles">
        ${tiles(seeds)}
      </ul>
      ${
        stars.length > 0 &&
        html`
          <section class="stack">
            <h3>Starred</h3>
            <ul class="tiles">
              ${tiles(stars)}
            </ul>
            <${Film} studio=${studio} stars=${stars} />
          </section>
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

/** A film through the starred pictures, and the present one if that is wanted.
 * @param {{studio: import("./studio.js").Studio, stars: number[]}} props */
function Film({ studio, stars }) {
  const { session, exporting } = studio.state;
  const [here, setHere] = useState(true);
  const [loop, setLoop] = useState(true);
  const [busy, setBusy] = useState(false);
  const stops = [
    ...(here && session?.current != null ? [`n${session.current}`] : []),
    ...stars.slice(0, MOST_STOPS - 1),
  ];
  const make = async () => {
    setBusy(true);
    await walk(studio, stops, loop);
    setBusy(false);
  };
  return html`
    <label class="check">
      <input type="checkbox" checked=${here} disabled=${busy} onChange=${() => setHere(!here)} />
      Begin with the present picture
    </label>
    <label class="check">
      <input type="checkbox" checked=${loop} disabled=${busy} onChange=${() => setLoop(!loop)} />
      Back to the first, to repeat without a jump
    </label>
    <div class="row">
      <button class="plain small" disabled=${busy || stops.length < 2 || Boolean(session?.run)} onClick=${make}>
        ${icon("download")}${busy ? "One moment …" : `Film through ${stops.length} pictures`}
      </button>
      ${
        busy &&
        html`
          <button class="small" onClick=${() => studio.unsave()}>Cancel</button>
          <${Meter} label="The film" share=${exporting ? exporting.done / exporting.of : 0} />
        `
      }
    </div>
  `;
}

/** @param {{studio: import("./studio.js").Studio, seed: number, psi: number, locked: boolean, starred: boolean,
 *   lock: (() => void) | null, star: () => void, mix: () => void, takes: "fine" | "coarse"}} props */
function Tile({ studio, seed, psi, locked, starred, lock, star, mix, takes }) {
  const model = present(studio.state)?.model ?? "";
  const words = takes === "fine" ? "colours" : "shape";
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
        <button
          class="icon small"
          disabled=${running(studio.state)}
          aria-label=${`Mix: the present picture with the ${words} of picture ${seed}`}
          title=${`Mix: the present picture with this one's ${words}`}
          onClick=${mix}
        >
          ${icon("mix")}
        </button>
      </div>
    </li>
  `;
}
