// The hot keys: the one table, from which they work, the sheet (`?`) is drawn and the tips are made. Pure.

/** @typedef {{keys: string[], action: string, what: string, group: string, hold?: boolean}} Key
 *  `hold`: the action lasts while the key is down */

/** @type {Key[]} */
export const KEYS = [
  { keys: ["Enter"], action: "start", what: "Start, or go on (when the picture isn't focused)", group: "Edit" },
  { keys: ["Shift+Enter"], action: "toggle", what: "Start or stop, from anywhere", group: "Edit" },
  {
    keys: ["Escape"],
    action: "escape",
    what: "Stop; or drop the unfinished point, or close what is open",
    group: "Edit",
  },
  { keys: ["Mod+Z"], action: "undo", what: "Undo", group: "Edit" },
  { keys: ["Mod+Shift+Z", "Mod+Y"], action: "redo", what: "Redo", group: "Edit" },
  { keys: ["N"], action: "shuffle", what: "Another picture", group: "Edit" },

  { keys: ["V"], action: "tool-points", what: "Place and move points", group: "Tools" },
  { keys: ["B"], action: "tool-free", what: "Paint what may move", group: "Tools" },
  { keys: ["H"], action: "tool-held", what: "Paint what must stay", group: "Tools" },
  { keys: ["E"], action: "tool-erase", what: "Erase what was painted", group: "Tools" },
  { keys: ["["], action: "smaller", what: "Smaller brush", group: "Tools" },
  { keys: ["]"], action: "larger", what: "Larger brush", group: "Tools" },
  { keys: ["I"], action: "invert", what: "Swap what may move and what must stay", group: "Tools" },
  { keys: ["G"], action: "shape", what: "Next shape: brush, rectangle, ellipse, part", group: "Tools" },
  { keys: ["P"], action: "tool-part", what: "Point at a part of the picture", group: "Tools" },
  { keys: ["X"], action: "clear-arrived", what: "Remove the points that have arrived", group: "Tools" },
  { keys: ["A"], action: "adding", what: "Parts are added, or take the place of what there is", group: "Tools" },

  { keys: ["+", "="], action: "zoom-in", what: "Larger", group: "Look" },
  { keys: ["-"], action: "zoom-out", what: "Smaller", group: "Look" },
  { keys: ["0"], action: "fit", what: "Fit the picture", group: "Look" },
  { keys: ["1"], action: "actual", what: "Actual size, 100 %", group: "Look" },
  { keys: ["Space"], action: "pan", what: "Hold and drag to move around", group: "Look", hold: true },
  { keys: ["C"], action: "peek", what: "Hold to see the picture before", group: "Look", hold: true },
  { keys: ["D"], action: "changes", what: "Show where the last edit changed the picture", group: "Look" },
  { keys: ["M"], action: "marks", what: "Show or hide points and paint", group: "Look" },

  { keys: ["Mod+S"], action: "save", what: "Save the session to a file", group: "Keep" },
  { keys: ["Mod+O"], action: "open", what: "Open a session or a picture", group: "Keep" },
  { keys: ["Mod+E"], action: "export", what: "Export", group: "Keep" },
  { keys: ["?"], action: "help", what: "This sheet", group: "Keep" },
];

/** What the keys do while the picture or a point has the focus; the stage sees to them itself.
 * @type {Omit<Key, "action">[]} */
export const STAGE_KEYS = [
  { keys: ["Arrows"], what: "Move the cross, or the point that has the focus, by one pixel", group: "On the picture" },
  { keys: ["Shift+Arrows"], what: "By eight pixels", group: "On the picture" },
  {
    keys: ["Enter"],
    what: "Put a point, its target or a corner of a shape where the cross is, or take the part there",
    group: "On the picture",
  },
  { keys: ["Delete"], what: "Remove the point that has the focus", group: "On the picture" },
  { keys: ["Tab"], what: "From the picture to its points", group: "On the picture" },
];

/** How a pressed key is written in the table.
 * @param {{key: string, ctrlKey: boolean, metaKey: boolean, altKey: boolean, shiftKey: boolean}} event */
export function written(event) {
  if (event.altKey) return "";
  const key = event.key === " " ? "Space" : event.key.length === 1 ? event.key.toUpperCase() : event.key;
  const letter = /^[A-Z]$|^.{2,}$/.test(key); // elsewhere Shift is part of what the key writes
  return `${event.ctrlKey || event.metaKey ? "Mod+" : ""}${event.shiftKey && letter ? "Shift+" : ""}${key}`;
}

/** @type {(event: Parameters<typeof written>[0]) => Key | undefined} */
export const find = (event) => KEYS.find((key) => key.keys.includes(written(event)));

/** A combination as people write it on this machine.
 * @type {(keys: string, mac: boolean) => string[]} */
export const shown = (keys, mac) =>
  (keys === "+" ? ["+"] : keys.split("+")).map((key) => (key === "Mod" ? (mac ? "⌘" : "Ctrl") : key));
