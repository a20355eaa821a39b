// What is said, as people read it. Pure.

/** @type {Record<string, string>} */
const WORDS = { yaw: "Turn", pitch: "Nod", roll: "Tilt", hair_color: "Hair colour" };

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
export const turned = (title) => title.replace(/(^|, )(\S+)/g, (_, before, name) => before + label(name));

/** What an entry of the history is called: as its kind of edit says, minus signs as such.
 * @type {(node: import("./protocol").NodeInfo, kinds: import("./state.js").Kind[]) => string} */
export function titled({ title, kind }, kinds) {
  if (kind === "seed") return title.replace("Seed", "Picture"); // as the gallery calls it
  const named = kinds.find(({ needs }) => needs === kind)?.title?.(title) ?? title;
  return named.charAt(0).toUpperCase() + named.slice(1).replace(/-(?=\d)/g, "−");
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
  const none = arrived ? "it was there already" : "no step brought it nearer";
  const parts = [step === 0 && ended ? none : step === 1 ? "1 step" : `${step} steps`];
  if (distances.length && !arrived) parts.push(`${Math.max(...distances).toFixed(1)} px to go`);
  parts.push(`${seconds.toFixed(1)} s`);
  return parts.join(" · ");
}

/** @type {(position: number) => string} */
export const ahead = (position) =>
  position === 0 ? "next in line" : position === 1 ? "one edit comes first" : `${position} edits come first`;
