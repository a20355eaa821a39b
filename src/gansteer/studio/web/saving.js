// Files that the studio makes, saved by the browser.

/** @typedef {import("./studio.js").Studio} Studio */

/** Let the browser save what the studio answered.
 * @param {Studio} studio @param {Response | null} answer @param {string} name  if the studio gives none */
export async function download(studio, answer, name) {
  if (!answer?.ok) {
    const told = await answer?.json().catch(() => null);
    studio.complain(told?.error ?? "The file could not be fetched: is the studio still running?");
    return;
  }
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  studio.say(`${link.download} is saved.`);
}

/** Let the browser save a film from picture to picture.
 * @param {Studio} studio @param {(number | string)[]} stops  seeds, and entries of the history as `n3`
 * @param {boolean} loop  whether it leads back to the first */
export async function walk(studio, stops, loop) {
  const query = {
    stops: stops.join(","),
    psi: studio.state.settings.spread,
    frames: Math.min(300, 24 * stops.length),
    loop: loop ? 1 : 0,
  };
  await studio.fetched(studio.wire.file("walk/webp", query), "gansteer-walk.webp");
}
