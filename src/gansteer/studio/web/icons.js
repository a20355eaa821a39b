// Small drawings for buttons, 20 by 20.

import { html } from "./vendor/preact.js";

const PATHS = {
  points: "M5.5 14.5 13 7M9.5 6H14v4.5M4 16a1.8 1.8 0 1 0 .1-3.5A1.8 1.8 0 0 0 4 16Z",
  free: "M4 16c2.5.4 4.6-.6 4.6-3.2L16 4.5a1.4 1.4 0 0 0-2-2L6.5 10.3C4 10.3 5 14 4 16Z",
  held: "M6 9V6.5a4 4 0 0 1 8 0V9M5 9h10v8H5ZM10 12.2v1.8",
  erase: "m8 16-4.3-4.3a1.4 1.4 0 0 1 0-2l6-6a1.4 1.4 0 0 1 2 0l4.6 4.6a1.4 1.4 0 0 1 0 2L10.6 16ZM7 7l6.5 6.5M8 16h9",
  brush: "M10 4a6 6 0 1 0 .01 0ZM10 8.5a1.5 1.5 0 1 0 .01 0Z",
  rectangle: "M3.5 5.5h13v9h-13Z",
  ellipse: "M10 5c4 0 7 2.2 7 5s-3 5-7 5-7-2.2-7-5 3-5 7-5Z",
  part: "M10 2.5v2.2M10 15.3v2.2M2.5 10h2.2M15.3 10h2.2M10 5.5c2.6-.6 5 1.4 4.6 4.2-.3 2.6-2.6 4.9-5.1 4.6-2.4-.3-4.2-2.6-3.8-4.9.3-2 1.9-3.5 4.3-3.9Z",
  undo: "M7.5 4 4 7.5 7.5 11M4 7.5h7.5a4.5 4.5 0 0 1 0 9H8",
  redo: "M12.5 4 16 7.5 12.5 11M16 7.5H8.5a4.5 4.5 0 0 0 0 9H12",
  start: "M6.5 4v12l9.5-6Z",
  stop: "M5.5 5.5h9v9h-9Z",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  fit: "M4 7.5V4h3.5M16 7.5V4h-3.5M4 12.5V16h3.5M16 12.5V16h-3.5",
  close: "m5 5 10 10M15 5 5 15",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  invert: "M10 3.5a6.5 6.5 0 1 0 .01 0ZM10 3.5v13M10 7h5.5M10 10h6.4M10 13h5.5",
  slider: "M10 3v14M4 5.5h3M4 14.5h3M4 5.5v9M13 5.5h3v9h-3",
  side: "M3 4.5h6v11H3ZM11 4.5h6v11h-6Z",
  changes: "M3.5 4h13v12h-13ZM11 8.5a2.5 2.5 0 1 0 .01 0ZM6 6.5v.01M6 9.5v.01",
  eye: "M2.5 10s2.8-5 7.5-5 7.5 5 7.5 5-2.8 5-7.5 5-7.5-5-7.5-5ZM10 8a2 2 0 1 0 .01 0Z",
  shuffle:
    "M3 6h3c4 0 4 8 8 8h3M3 14h3c1.3 0 2.2-.9 2.9-2.1M11.1 8.1C11.8 6.9 12.7 6 14 6h3M15 4l2 2-2 2M15 12l2 2-2 2",
  star: "m10 3 2.1 4.5 4.9.6-3.6 3.4.9 4.9L10 14l-4.3 2.4.9-4.9L3 8.1l4.9-.6Z",
  lock: "M6.5 9V6.8a3.5 3.5 0 0 1 7 0V9M5 9h10v7.5H5Z",
  unlock: "M6.5 9V6.8a3.5 3.5 0 0 1 6.7-1.4M5 9h10v7.5H5Z",
  reset: "M4 10a6 6 0 1 0 2-4.5L4 7.5M4 3.5v4h4",
  menu: "M4 6h12M4 10h12M4 14h12",
  down: "m6 8 4 4 4-4",
  sun: "M10 6.5a3.5 3.5 0 1 0 .01 0ZM10 2v1.5M10 16.5V18M2 10h1.5M16.5 10H18M4.3 4.3l1.1 1.1M14.6 14.6l1.1 1.1M15.7 4.3l-1.1 1.1M5.4 14.6l-1.1 1.1",
  moon: "M16 11.5A6.5 6.5 0 0 1 8.5 4a6.5 6.5 0 1 0 7.5 7.5Z",
  help: "M7.5 7.5a2.5 2.5 0 1 1 3.7 2.2c-.8.5-1.2 1-1.2 1.9M10 14.6v.01",
  photo: "M3 4.5h14v11H3ZM3 13l4-4 3.5 3.5L13 10l4 4M13 7.3v.01",
  download: "M10 3.5v9M6.5 9l3.5 3.5L13.5 9M4 16h12",
  folder: "M3 5h5l1.5 2H17v8.5H3Z",
  dice: "M4 4h12v12H4ZM7.5 7.5v.01M12.5 7.5v.01M10 10v.01M7.5 12.5v.01M12.5 12.5v.01",
  sessions: "M3.5 3.5H9V9H3.5ZM11 3.5h5.5V9H11ZM3.5 11H9v5.5H3.5ZM11 11h5.5v5.5H11Z",
  mix: "M7.5 5a5 5 0 1 0 .01 0ZM12.5 5a5 5 0 1 0 .01 0Z",
  copy: "M7 7h9v9H7ZM13 7V4H4v9h3",
  info: "M10 3a7 7 0 1 0 .01 0ZM10 9v4.5M10 6.4v.01",
};

/** @typedef {keyof typeof PATHS} Glyph */

/** @type {(name: Glyph) => import("./vendor/preact.js").Child} */
export const icon = (name) => html`
  <svg class="glyph" viewBox="0 0 20 20" aria-hidden="true" focusable="false"><path d=${PATHS[name]} /></svg>
`;
