// The line to the server: one WebSocket that comes back when it is lost, and files by HTTP.
// What is said is described in studio/protocol.py.

/** @typedef {import("./protocol").FromServer} FromServer */
/** @typedef {import("./protocol").FromPage} FromPage */
/** @typedef {import("./protocol").Frame} Frame */
/** @typedef {"opening" | "open" | "lost" | "refused"} Link */
/**
 * @typedef {object} Listener
 * @property {(message: FromServer) => void} message
 * @property {(frame: Frame, picture: ImageBitmap) => void} frame
 * @property {(link: Link, reason: string) => void} link
 */

const PATIENCE = [300, 600, 1200, 2500, 5000]; // ms until the next try
/** Codes of a socket that was closed for a reason that trying again doesn't mend. */
const FINAL = new Set([1002, 1003, 1007, 1008, 1009, 1013]);

/** The head and the picture of a binary message.
 * @type {(data: ArrayBuffer) => {head: Frame, picture: Blob}} */
export function unpack(data) {
  const length = new DataView(data).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  return { head, picture: new Blob([new Uint8Array(data, 4 + length)], { type: head.format }) };
}

export class Wire {
  /** @param {Listener} listener */
  constructor(listener) {
    this.listener = listener;
    this.token = new URLSearchParams(location.search).get("token") ?? "";
    this.session = sessionStorage.getItem("session") ?? "";
    /** @type {WebSocket | null} */
    this.socket = null;
    this.tries = 0;
    /** @type {{head: Frame, picture: Blob} | null} */
    this.newest = null;
    this.drawing = false;
    addEventListener("online", () => this.again());
    document.addEventListener("visibilitychange", () => document.hidden || this.again());
  }

  /** Connect at once if the line is lost. */
  again() {
    if (this.tries && !this.socket) this.open();
  }

  open() {
    clearTimeout(this.timer);
    const url = new URL(this.path("socket", { session: this.session }), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    socket.onmessage = (event) => this.heard(event.data);
    socket.onclose = (event) => this.closed(event);
    this.socket = socket;
  }

  /** @param {CloseEvent} event */
  closed(event) {
    this.socket = null;
    if (FINAL.has(event.code)) {
      this.listener.link("refused", event.reason);
      return;
    }
    this.listener.link("lost", event.reason);
    this.timer = setTimeout(() => this.open(), PATIENCE[Math.min(this.tries++, PATIENCE.length - 1)]);
  }

  /** @param {string | ArrayBuffer} data */
  heard(data) {
    if (typeof data !== "string") {
      this.newest = unpack(data); // one that was not drawn yet is dropped
      if (!this.drawing) this.draw();
      return;
    }
    /** @type {FromServer} */
    const message = JSON.parse(data);
    if (message.type === "welcome") {
      this.tries = 0;
      this.session = message.session;
      sessionStorage.setItem("session", message.session);
      this.listener.link("open", "");
    }
    this.listener.message(message);
  }

  async draw() {
    this.drawing = true;
    while (this.newest) {
      const { head, picture } = this.newest;
      this.newest = null;
      try {
        this.listener.frame(head, await createImageBitmap(picture));
      } finally {
        this.send({ type: "shown", frame: head.frame });
      }
    }
    this.drawing = false;
  }

  /** Whether it could be sent.
   * @param {FromPage} message */
  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }

  /** The address of `what`, with the token.
   * @param {string} what
   * @param {Record<string, string | number | boolean>} [query] */
  path(what, query = {}) {
    const words = Object.entries({ ...query, token: this.token }).filter(([, value]) => value !== "");
    const search = new URLSearchParams(words.map(([name, value]) => [name, String(value)]));
    return `${what}${words.length ? `?${search}` : ""}`;
  }

  /** The address of a file of the session.
   * @param {string} what
   * @param {Record<string, string | number | boolean>} [query] */
  file(what, query) {
    return this.path(`session/${this.session}/${what}`, query);
  }

  /** The sessions that the server has kept, the newest first. Raises an Error with a line for the person.
   * @returns {Promise<import("./protocol").SessionInfo[]>} */
  async sessions() {
    return (await this.reached("sessions", { cache: "no-store" })).json();
  }

  /** Give a session a name, or none. Raises an Error with a line for the person.
   * @param {string} session @param {string} name */
  async rename(session, name) {
    await this.reached(`session/${session}/name`, { method: "POST", body: name });
  }

  /** Have the server delete a session that no page shows. Raises an Error with a line for the person.
   * @param {string} session */
  async forget(session) {
    await this.reached(`session/${session}`, { method: "DELETE" }, [404]);
  }

  /** The server's answer. Raises an Error with a line for the person unless it is good, or one of `alright`.
   * @param {string} what @param {RequestInit} how @param {number[]} [alright] */
  async reached(what, how, alright = []) {
    const answer = await fetch(this.path(what), how).catch(() => {
      throw new Error("The studio could not be reached. Is it still running?");
    });
    if (!answer.ok && !alright.includes(answer.status)) throw new Error((await answer.json()).error);
    return answer;
  }

  /** Give the server a file. Raises an Error with a line for the person.
   * @param {Blob} file @param {Record<string, string>} [wishes]
   * @returns {Promise<import("./protocol").Received | import("./protocol").Sight>} */
  async upload(file, wishes) {
    const answer = await fetch(this.file("file", wishes), { method: "POST", body: file }).catch(() => {
      throw new Error("The studio could not be reached. Is it still running?");
    });
    const told = await answer.json().catch(() => ({ error: `The studio answered ${answer.status}.` }));
    if (!answer.ok) throw new Error(told.error);
    return told;
  }
}
