// What is said, as people read it. Pure.

/** @type {Record<string, string>} */
const WORDS = { yaw: "Turn", pitch: "Nod", roll: "Tilt" };

/** A name as a label.
 * @type {(name: string) => string} */
export const label = (name) =>
  WORDS[name] ?? (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ").replaceAll("-", " ");

/** What an entry of the history is called: names as labels, minus signs as such.
 * @type {(node: import("./protocol").NodeInfo) => string} */
export function titled({ title, kind }) {
  const turned = kind === "attribute" || kind === "intervention";
  const named = turned ? title.replace(/(^|, )(\S+)/g, (_, before, name) => before + label(name)) : title;
  return named.charAt(0).toUpperCase() + named.slice(1).replace(/-(?=\d)/g, "−");
}

/** @type {(text: string) => string} */
export const sentence = (text) => {
  const long = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?)]$/.test(long) ? long : `${long}.`;
};

/** @type {(position: number) => string} */
export const ahead = (position) =>
  position === 0 ? "next in line" : position === 1 ? "one edit comes first" : `${position} edits come first`;
