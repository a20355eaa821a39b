// The attributes of a picture that can be turned, as the studio knows them.

import { useEffect, useState } from "./vendor/preact.js";

/** @typedef {import("./studio.js").Studio} Studio */
/** @typedef {{name: string, value: number, low: number, high: number, method: string}} Slider */

/** The attributes of the present picture; null while the answer is on its way.
 * @param {Studio} studio @returns {Slider[] | null} */
export function useSliders(studio) {
  const [known, setKnown] = useState(/** @type {Slider[] | null} */ (null));
  const { session } = studio.state;
  const node = session?.run ? null : (session?.current ?? null);
  useEffect(() => {
    if (node == null || studio.state.link !== "open") return undefined;
    let here = true;
    studio.ask("directions", {}, node).then(
      (answer) => here && setKnown(answer),
      () => here && setKnown((known) => known ?? []), // a picture that gave way to another meanwhile
    );
    return () => {
      here = false;
    };
  }, [node, studio.state.link]);
  return known;
}
