// What can be done, and what becomes of what the server says.

import * as drafts from "./draft.js";
import { keep, kept, remember } from "./keeping.js";
import { chosen } from "./photos.js";
import { draftOf, goesOn, inHand, present, running, sideOf, Store } from "./state.js";
import { download } from "./saving.js";
import { changed, redone, trail, undone } from "./undo.js";
import { Wire } from "./wire.js";
import { ahead, ending, sentence, titled } from "./words.js";

/** @typedef {import("./state.js").Draft} Draft */
/** @typedef {import("./protocol").State} Session */
/** @typedef {{answered: (value: unknown) => void, failed: (error: Error) => void}} Question */

const PROTOCOL = 1;
const LONGEST_TRACE = 2000;

export class Studio {
  /** @param {import("./state.js").Kind[]} kinds  of edits that the page knows */
  constructor(kinds) {
    this.store = new Store(kinds);
    this.wire = new Wire(this);
    /** Draws a picture that came; the stage sets it.
     * @type {(node: number | null, picture: ImageBitmap) => void} */
    this.onPicture = () => {};
    /** @type {ImageBitmap | null} */
    this.picture = null;
    /** @type {Map<number, Question>} */
    this.asked = new Map();
    this.questions = 0;
    /** @type {import("./gestures.js").Gestures | null} */
    this.gestures = null;
    /** The size of the stage. */
    this.pane = { width: 0, height: 0 };
  }

  get state() {
    return this.store.state;
  }

  // --- From the server ---------------------------------------------------------------------------------------------

  /** @param {import("./wire.js").Link} link @param {string} reason */
  link(link, reason) {
    const was = this.state.link;
    this.store.set({ link, reason });
    if (link === "lost" && was === "open") this.say("The line to the studio is lost. Trying again.");
    if (link === "open" && was === "lost") this.say("Connected again.");
    for (const { failed } of link === "open" ? [] : this.asked.values()) failed(new Error("The line was lost."));
    if (link !== "open") this.asked.clear();
  }

  /** @param {import("./protocol").FromServer} message */
  message(message) {
    if (message.type === "welcome") this.welcomed(message);
    else if (message.type === "state") this.told(message);
    else if (message.type === "progress") this.stepped(message);
    else if (message.type === "exporting") this.store.set({ exporting: message });
    else if (message.type === "answer") this.settle(message.id, (question) => question.answered(message.value));
    else if (message.id != null) this.settle(message.id, (question) => question.failed(new Error(message.message)));
    else this.complain(message.message);
  }

  /** @param {import("./protocol").Welcome} welcome */
  welcomed(welcome) {
    if (welcome.protocol !== PROTOCOL) {
      location.reload();
      return;
    }
    // The entries of another session have no pictures in this one, so they are not shown until its own are told.
    const other = this.state.welcome != null && this.state.welcome.session !== welcome.session;
    this.store.set(other ? { welcome, session: null } : { welcome });
  }

  /** @param {Session} session */
  told(session) {
    const { session: before, trails } = this.state;
    const moved = before?.current !== session.current;
    const ended = before?.run && !session.run;
    this.store.set({ session });
    const node = present(this.state);
    if (session.current != null && (moved || ended || !trails[session.current])) this.arrive(session, Boolean(ended));
    if (ended) this.say(session.ended ? ending(session.ended) : "Stopped.");
    if (ended) this.state.kinds.find(({ needs }) => needs === session.edit?.kind)?.ended?.(this);
    if (moved && before && !session.run) this.say(`Now at ${node ? titled(node, this.state) : "the start"}.`);
    if (session.run?.state === "waiting" && session.run.position !== before?.run?.position)
      this.say(`Waiting: ${ahead(session.run.position)}.`);
  }

  /** The present node is another one, or its edit has ended: what to go on with.
   * @param {Session} session @param {boolean} ended */
  arrive(session, ended) {
    const current = /** @type {number} */ (session.current);
    const { kinds, trails: before } = this.state;
    const known = before[current];
    const last = session.trail[session.trail.length - 1] ?? null;
    const stored = known?.present ?? kept(kinds, this.wire.session, current, session.resolution);
    const kind = kinds.find(({ needs }) => needs === session.edit?.kind);
    const found = session.edit ? kind?.fromEdit?.(session.edit, last, session.resolution, this.state) : undefined;
    const { draft: asked, ...chosen } = found ?? {};
    const draft = {
      ...(stored ?? this.inherited(session.resolution)),
      ...(!stored || ended || session.run ? asked : {}),
    };
    // After a reload what was chosen for a stopped edit is chosen again, or Start would not go on with it.
    const rest = !known && session.can_resume ? chosen : {};
    const trails = { ...before };
    if (!known || ended || session.run) trails[current] = trail(draft);
    this.store.set({ ...rest, trails, live: null, traces: session.trail, blend: 1 });
    // One picture is no work to come back to.
    if (session.nodes.length > 1) remember(this.wire.session, session.nodes.length);
  }

  /** Paint stays from a picture to the one made of it.
   * @param {number} side */
  inherited(side) {
    const parent = present(this.state)?.parent;
    return drafts.inherited(this.state.kinds, parent == null ? undefined : this.state.trails[parent]?.present, side);
  }

  /** @param {import("./protocol").Progress} progress */
  stepped(progress) {
    if (progress.node !== this.state.session?.current) return;
    this.traced(progress.trace);
  }

  /** @param {import("./protocol").StepRecord} trace */
  traced(trace) {
    const { traces } = this.state;
    const last = traces[traces.length - 1];
    if (last && trace.step <= last.step) return;
    this.store.set({ traces: [...traces, trace].slice(-LONGEST_TRACE) });
  }

  /** @param {import("./protocol").Frame} frame @param {ImageBitmap} picture */
  frame(frame, picture) {
    this.picture?.close();
    this.picture = picture;
    this.onPicture(frame.node, picture);
    if (frame.trace && frame.node === this.state.session?.current) this.traced(frame.trace);
    if (this.state.shown !== frame.node || this.state.whole !== frame.final)
      this.store.set({ shown: frame.node, whole: frame.final });
  }

  /** @param {number} id @param {(question: Question) => void} how */
  settle(id, how) {
    const question = this.asked.get(id);
    if (question) how(question);
    this.asked.delete(id);
  }

  // --- Telling the person ------------------------------------------------------------------------------------------

  /** @param {string} said */
  say(said) {
    this.store.set({ said });
  }

  /** @param {string} text */
  complain(text) {
    this.store.set({ notice: { kind: "bad", text: sentence(text) }, said: "" });
  }

  /** @param {string} text */
  tell(text) {
    this.store.set({ notice: { kind: "plain", text }, said: "" });
  }

  // --- To the server -----------------------------------------------------------------------------------------------

  /** @param {import("./protocol").FromPage} message */
  send(message) {
    const sent = this.wire.send(message);
    if (!sent) this.complain("There is no line to the studio just now; it will be tried again.");
    return sent;
  }

  /** The answer to a question of a panel's.
   * @param {string} about @param {Record<string, unknown>} [more] @param {number | null} [node]
   * @returns {Promise<any>} */
  ask(about, more = {}, node = null) {
    const id = ++this.questions;
    return new Promise((answered, failed) => {
      this.asked.set(id, { answered, failed });
      if (!this.wire.send({ type: "ask", id, about, arguments: more, node }))
        this.settle(id, () => failed(new Error("There is no line to the studio just now.")));
    });
  }

  /** @param {number} seed @param {string} [model] @param {number | null} [label] */
  sample(seed, model, label) {
    const psi = this.state.settings.spread;
    this.send({ type: "sample", seed, psi, ...(model ? { model } : {}), ...(label == null ? {} : { label }) });
  }

  /** The present picture with the colours and detail of a seed's, or its pose and shape.
   * @param {number} seed @param {"fine" | "coarse"} takes */
  mix(seed, takes) {
    this.send({ type: "mix", seed, psi: this.state.settings.spread, takes });
  }

  shuffle() {
    this.sample(Math.floor(Math.random() * 100000));
  }

  /** Start the edit that is prepared, or go on with the one that was stopped. */
  start() {
    const { state } = this;
    const kind = inHand(state);
    if (running(state) || !state.session || !kind?.toEdit) return;
    if (goesOn(state)) {
      this.send({ type: "resume" });
      return;
    }
    const ready = kind.ready?.(state);
    if (ready && !ready.ok) this.tell(ready.says);
    else this.send({ type: "start", edit: kind.toEdit(state) });
  }

  stop() {
    if (running(this.state)) this.send({ type: "stop" });
  }

  toggle() {
    if (running(this.state)) this.stop();
    else this.start();
  }

  /** One change back: of the points and paint first, then of the picture. */
  undo() {
    const { session, trails } = this.state;
    if (!session || session.current == null) return;
    const here = trails[session.current];
    if (here?.past.length && !session.run) this.put(undone(here), "Undone.");
    else if (session.can_undo) this.send({ type: "undo" });
    else this.say("There is nothing to undo.");
  }

  redo() {
    const { session, trails } = this.state;
    if (!session || session.current == null) return;
    const here = trails[session.current];
    if (here?.future.length && !session.run) this.put(redone(here), "Done again.");
    else if (session.can_redo) this.send({ type: "redo" });
    else this.say("There is nothing to do again.");
  }

  /** Any node of the history.
   * @param {number} node */
  go(node) {
    this.send({ type: "go", node });
  }

  // --- Points and paint --------------------------------------------------------------------------------------------

  /** What is prepared becomes `draft`; changes in a row with the same tag are undone as one.
   * @param {Draft} draft @param {string} [tag] @param {string} [said] */
  change(draft, tag = "", said = "") {
    const current = this.state.session?.current;
    if (current == null) return;
    this.put(
      changed(this.state.trails[current] ?? trail(drafts.empty(this.state.kinds, sideOf(this.state))), draft, tag),
      said,
    );
  }

  /** @param {import("./undo.js").Trail<Draft>} trail @param {string} said */
  put(trail, said) {
    const current = /** @type {number} */ (this.state.session?.current);
    this.store.set({ trails: { ...this.state.trails, [current]: trail }, live: null, said: said || this.state.said });
    remember(this.wire.session, this.state.session?.nodes.length ?? 1);
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.keep(current), 250);
  }

  /** Keep what is prepared on a node in the browser.
   * @param {number} node */
  keep(node) {
    const draft = this.state.trails[node]?.present;
    if (draft) keep(this.state.kinds, this.wire.session, node, draft);
  }

  /** Nothing is prepared any more of one part of the draft.
   * @param {string} part @param {string} said */
  clear(part, said) {
    const blank = drafts.empty(this.state.kinds, sideOf(this.state));
    this.change({ ...draftOf(this.state), [part]: blank[part] }, "", said);
  }

  /** Change what a kind of edit keeps for itself.
   * @param {import("./state.js").Kind} kind @param {Record<string, unknown>} change */
  keepOwn({ tab }, change) {
    const { own } = this.state;
    this.store.set({ own: { ...own, [tab]: { ...own[tab], ...change } } });
  }

  // --- Files and settings ------------------------------------------------------------------------------------------

  /** Another session in this tab.
   * @param {string} key */
  enter(key) {
    sessionStorage.setItem("session", key);
    location.reload();
  }

  /** @param {Partial<import("./state.js").Settings>} change */
  prefer(change) {
    const settings = { ...this.state.settings, ...change };
    this.store.set({ settings });
    localStorage.setItem("settings", JSON.stringify(settings));
  }

  /** A picture, a photo or a session that was dropped or chosen.
   * @param {File} file */
  async receive(file) {
    const most = this.state.welcome?.upload_bytes ?? Infinity;
    if (file.size > most) {
      this.complain(`${file.name} is too large: ${Math.round(most / 2 ** 20)} MB at most.`);
      return;
    }
    this.store.set({ uploading: true });
    this.tell(`Opening ${file.name} …`);
    try {
      const told = await this.wire.upload(file, { look: "1" });
      if (told.type === "sight") this.store.set({ sight: { file, sight: told }, dialog: "photo", notice: null });
      else this.tell(told.what === "session" ? "The session is open." : "The picture and all that made it are back.");
    } catch (error) {
      this.complain(/** @type {Error} */ (error).message);
    }
    this.store.set({ uploading: false });
  }

  /** Ask the person for a file to open. */
  async choose() {
    const file = await chosen("image/*,.heic,.steer");
    if (file) this.receive(file);
  }

  /** The address of what is exported of the present picture.
   * @param {string} what @param {Record<string, number>} [query] */
  exported(what, query) {
    return this.wire.file(`export/${this.state.session?.current}/${what}`, query);
  }

  /** Let the browser save a file.
   * @param {string} what @param {Record<string, number>} [query] */
  async save(what, query) {
    if (this.state.session?.current != null) await this.fetched(this.exported(what, query), `gansteer.${what}`);
  }

  /** Let the browser save what there is at an address, which may take a while to make.
   * @param {string} address @param {string} name  if the studio gives none */
  async fetched(address, name) {
    this.say("Preparing the file.");
    this.making = new AbortController();
    const { signal } = this.making;
    const answer = await fetch(address, { signal }).catch(() => null);
    this.store.set({ exporting: null });
    if (signal.aborted) this.say("No file was made.");
    else await download(this, answer, name);
  }

  /** Give up the file that is being made. */
  unsave() {
    this.making?.abort();
  }

  /** What is exported, as text.
   * @param {string} what */
  async text(what) {
    const answer = await fetch(this.exported(what)).catch(() => null);
    const text = await answer?.text();
    if (answer?.ok) return text ?? "";
    this.complain("It could not be fetched: is the studio still running?");
    return "";
  }

  /** An empty session in this tab; the old one stays on the disk. */
  fresh() {
    if (!this.send({ type: "leave" })) return;
    this.store.set({ trails: {}, traces: [], view: null, before: null });
  }
}
