// What the browser keeps: what was prepared and not started, and which sessions there were.

import { fromText, toText } from "./draft.js";

/** @typedef {import("./draft.js").Draft} Draft */
/** @typedef {import("./draft.js").Kinds} Kinds */

const SESSIONS = 12;

/** @type {(session: string, node: number) => string} */
const place = (session, node) => `draft:${session}:${node}`;

/** @type {(kinds: Kinds, session: string, node: number, draft: Draft) => void} */
export function keep(kinds, session, node, draft) {
  try {
    localStorage.setItem(place(session, node), toText(kinds, draft));
  } catch {
    forget(() => true); // full: make room, this one comes again with its next change
  }
}

/** What was kept for a picture of `side` pixels, or null.
 * @type {(kinds: Kinds, session: string, node: number, side: number) => Draft | null} */
export const kept = (kinds, session, node, side) => fromText(kinds, localStorage.getItem(place(session, node)), side);

/** @typedef {{key: string, when: number, pictures: number}} Earlier
 *  a session: when it was here last, and how long its history was */

/** The sessions that this browser knows, newest first.
 * @returns {Earlier[]} */
export function recent() {
  try {
    return JSON.parse(localStorage.getItem("recent") ?? "[]");
  } catch {
    return [];
  }
}

/** This session is the newest, and holds so many pictures; what belongs to those long gone is dropped.
 * @type {(session: string, pictures: number) => void} */
export function remember(session, pictures) {
  const all = [{ key: session, when: Date.now(), pictures }, ...recent().filter((one) => one.key !== session)].slice(
    0,
    SESSIONS,
  );
  localStorage.setItem("recent", JSON.stringify(all));
  forget((key) => !all.some((one) => key.startsWith(`draft:${one.key}:`)));
}

/** This session is no more.
 * @type {(session: string) => void} */
export function strike(session) {
  localStorage.setItem("recent", JSON.stringify(recent().filter((one) => one.key !== session)));
  forget((key) => key.startsWith(`draft:${session}:`));
  stored("readwrite", (photos) => photos.delete(IDBKeyRange.bound(`${session} `, `${session} ~`)));
}

/** The photos that were brought in, which are too large for the rest.
 * @template T
 * @param {IDBTransactionMode} mode @param {(photos: IDBObjectStore) => IDBRequest<T>} what
 * @returns {Promise<T | null>}  null if the browser keeps nothing */
function stored(mode, what) {
  return new Promise((done) => {
    const none = () => done(null);
    const opening = indexedDB.open("gansteer", 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("photos");
    opening.onerror = none;
    opening.onsuccess = () => {
      const base = opening.result;
      const request = what(base.transaction("photos", mode).objectStore("photos"));
      request.onsuccess = () => done(request.result);
      request.onerror = none;
      request.transaction?.addEventListener("complete", () => base.close());
    };
  });
}

/** Keep the photo that an entry of the history was made of; those of sessions long gone are dropped.
 * @param {string} session @param {number} node @param {File} file */
export async function keepPhoto(session, node, file) {
  const known = new Set([session, ...recent().map((one) => one.key)]);
  for (const key of (await stored("readonly", (photos) => photos.getAllKeys())) ?? [])
    if (!known.has(String(key).split(" ")[0])) await stored("readwrite", (photos) => photos.delete(key));
  await stored("readwrite", (photos) => photos.put(file, `${session} ${node}`));
}

/** @type {(session: string, node: number) => Promise<File | null>} */
export const photoOf = async (session, node) =>
  (await stored("readonly", (photos) => photos.get(`${session} ${node}`))) ?? null;

/** @type {(old: (key: string) => boolean) => void} */
function forget(old) {
  for (const key of Object.keys(localStorage)) if (key.startsWith("draft:") && old(key)) localStorage.removeItem(key);
}
