// How a drag is carried out: one choice that a person understands and, for who wants them, the numbers. Pure.

/** @typedef {import("../state.js").Settings} Settings */
/** @typedef {"faithful" | "usual" | "free"} Freedom */
/** @typedef {Record<string, string | number | null>} Numbers  fields of the edit that are not as usual */

export const RATES = [2e-3, 5e-3, 1e-2, 2e-2]; // of settings.strength, 1 to 4
const RATED = new Set(["draggan", "freedrag"]); // the methods whose rate that is

/** What may change, and what stays as it is whatever is dragged.
 * @type {Record<Freedom, {label: string, says: string, fields: Record<string, number>}>} */
export const FREEDOMS = {
  faithful: {
    label: "Faithful",
    says: "It stays a picture of the model's kind: points stop where those end.",
    fields: { reach: 10 },
  },
  usual: { label: "Usual", says: "Points go as far as they can; colours stay.", fields: {} },
  free: { label: "Free", says: "Everything may change for the points, colours too.", fields: { rows: 99 } },
};

/** Choices with their values; the first is what is done unless another is chosen.
 * @type {Record<string, {label: string, options: [string, string][]}>} */
export const CHOICES = {
  method: {
    label: "Method",
    options: [
      ["", "What suits the points"],
      ["natural", "Least change, few steps"],
      ["draggan", "DragGAN"],
      ["adaptive", "DragGAN, steps by distance"],
      ["gauss-newton", "Gauss-Newton"],
      ["freedrag", "FreeDrag"],
      ["transformer", "Transformer, at once"],
    ],
  },
  tracker: {
    label: "Points are followed by",
    options: [
      ["", "What suits the method"],
      ["nearest", "The nearest feature"],
      ["between-pixels", "The nearest, between pixels"],
      ["patch-flow", "From picture to picture"],
      ["confident", "The confident tracker"],
      ["none", "Nothing"],
    ],
  },
  space: {
    label: "Space",
    options: [
      ["w+", "w+: each layer by itself"],
      ["w", "w: all layers alike"],
    ],
  },
};

/** Numbers that may be given; empty for what suits the picture's size.
 * @type {Record<string, {label: string, min: number, max: number}>} */
export const FIELDS = {
  r1: { label: "Patch, r1 in px", min: 1, max: 32 },
  r2: { label: "Search, r2 in px", min: 1, max: 32 },
  lambda_mask: { label: "Hold, λ", min: 0, max: 1000 },
};

/** Whether the method chosen has a rate, which Speed is.
 * @type {(numbers: Numbers) => boolean} */
export const rated = (numbers) => RATED.has(String(numbers.method));

/** What of the edit these settings say.
 * @type {(settings: Settings) => Record<string, unknown>} */
export function fieldsOf({ limit, strength, freedom, numbers }) {
  return {
    steps: limit,
    ...(rated(numbers) ? { learning_rate: RATES[strength - 1] } : {}),
    ...FREEDOMS[freedom].fields,
    ...numbers,
  };
}

/** The inverse: the settings that say what an edit has been told.
 * @type {(edit: Record<string, any>, settings: Settings) => Settings} */
export function settingsOf(edit, settings) {
  const strength = RATES.indexOf(edit.learning_rate) + 1 || settings.strength;
  const freedom = edit.reach > 0 ? "faithful" : edit.rows > 6 ? "free" : "usual";
  /** @type {Numbers} */
  const numbers = {};
  for (const [name, { options }] of Object.entries(CHOICES))
    if (edit[name] != null && edit[name] !== options[0][0]) numbers[name] = edit[name];
  for (const name of Object.keys(FIELDS))
    if (edit[name] != null && edit[name] !== USUAL[name]) numbers[name] = edit[name];
  return { ...settings, limit: edit.steps, strength, freedom, numbers };
}

/** Numbers that an edit has where none was given.
 * @type {Record<string, number>} */
const USUAL = { lambda_mask: 10 };

/** The numbers with one more, or without it.
 * @type {(numbers: Numbers, name: string, value: string | number | null) => Numbers} */
export function withNumber(numbers, name, value) {
  const rest = Object.fromEntries(Object.entries(numbers).filter(([other]) => other !== name));
  const usual = CHOICES[name]?.options[0][0] ?? USUAL[name] ?? null;
  return value === null || value === "" || value === usual ? rest : { ...rest, [name]: value };
}
