// What is said, as people read it. Pure.

/** @typedef {import("./state.js").Kind} Kind */
/** @typedef {import("./state.js").State} State */

/** @type {Record<string, string>} */
const WORDS = { yaw: "Turn", pitch: "Nod", roll: "Tilt", hair_color: "Hair colour" };

/** What the two ends of a slider stand for (edits/attribute/portrait_scores.py says which way each goes).
 * @type {Record<string, [string, string]>} */
const POLES = {
  age: ["younger", "older"],
  gender: ["feminine", "masculine"],
  smile: ["frown", "smile"],
  mouth_open: ["closed", "open"],
  eyes_closed: ["open", "closed"],
  eyes_wide: ["narrow", "wide"],
  yaw: ["left", "right"],
  pitch: ["up", "down"],
  hair_color: ["dark", "light"],
  hair_length: ["short", "long"],
  skin_tone: ["light", "dark"],
  quality: ["coarse", "fine"],
};

/** @type {(name: string) => [string, string] | null} */
export const poles = (name) => POLES[name] ?? null;

/** Whether an attribute was found without examples of it: nobody has said yet what it does.
 * @type {(name: string) => boolean} */
export const unnamed = (name) => name.includes(":");

/** A name as a label: `hair_length` is "Hair length", `pc:3` "Variation 3", `sefa:pose:2` "Pose 2".
 * @type {(name: string) => string} */
export function label(name) {
  const plain = name
    .replace(/^pc:/, "variation:")
    .replace(/^sefa:/, "")
    .replace(/[_:-]/g, " ");
  return WORDS[name] ?? plain.charAt(0).toUpperCase() + plain.slice(1);
}

/** A title that consists of the names of attributes and of what became of each.
 * @type {(title: string) => string} */
export const turned = (title) =>
  title
    .replace(/(^|, )([^\s,]+)/g, (_, before, name) => before + label(name))
    .replace(/[+-]?\d+(\.\d+)?(e-?\d+)?(?=,|$)/g, (number) => Number(number).toFixed(1));

/** What an entry of the history is called: as its kind of edit says, minus signs as such.
 * @type {(node: import("./protocol").NodeInfo, state: Pick<State, "kinds" | "session">) => string} */
export function titled({ title, kind, mixed }, { kinds, session }) {
  if (mixed && kind !== "mix") return mix(mixed, session?.nodes ?? [], kinds);
  if (kind === "seed") return title.replace("Seed", "Picture"); // as the gallery calls it
  const named = kinds.find(({ needs }) => needs === kind)?.title?.(title) ?? title;
  return named.charAt(0).toUpperCase() + named.slice(1).replace(/-(?=\d)/g, "−");
}

/** Of what, and how much of each; a mix of mixes is told no deeper.
 * @type {(mixed: import("./protocol").MixInfo, nodes: import("./protocol").NodeInfo[], kinds: Kind[]) => string} */
function mix({ a, b, t }, nodes, kinds) {
  const name = (/** @type {number} */ id) => {
    const found = nodes.find((one) => one.id === id);
    return !found ? "a picture that is gone" : found.mixed ? "a mix" : titled(found, { kinds, session: null });
  };
  const share = Math.round(100 * t);
  return `${100 - share} % ${name(a)}, ${share} % ${name(b)}`;
}

/** @type {(text: string) => string} */
export const sentence = (text) => {
  const long = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?)]$/.test(long) ? long : `${long}.`;
};

/** How an edit ended, for a person: what follows a colon and begins with a number is for the record.
 * @type {(ended: string) => string} */
export const ending = (ended) =>
  sentence(
    ended === "all handles have arrived"
      ? "Arrived"
      : ended.startsWith("the latent blew up")
        ? "The picture fell apart: choose a lower speed (the nearest picture is kept)"
        : ended.replace(/: (?=\d).*$/, ""),
  );

/** What it took, and what is left. The picture that is kept may be the one that the edit began with.
 * @type {(trace: import("./protocol").StepRecord, ended?: string) => string} */
export function numbers({ step, distances, seconds }, ended = "") {
  if (!distances.length && step <= 1) return "";
  const arrived = ended.includes("arrived");
  const none = arrived ? "It was there already" : "No step brought it nearer";
  const parts = [step === 0 && ended ? none : step === 1 ? "1 step" : `${step} steps`];
  if (distances.length && !arrived) parts.push(`${Math.max(...distances).toFixed(1)} px to go`);
  parts.push(`${seconds.toFixed(1)} s`);
  return parts.join(" · ");
}

/** How long something takes, as people say it.
 * @type {(seconds: number) => string} */
export function duration(seconds) {
  const [number, unit] =
    seconds < 90 ? [Math.max(1, Math.round(seconds)), "second"] : [Math.round(seconds / 60), "minute"];
  return `${number} ${unit}${number === 1 ? "" : "s"}`;
}

/** @type {(position: number) => string} */
export const ahead = (position) =>
  position === 0 ? "next in line" : position === 1 ? "one edit comes first" : `${position} edits come first`;
