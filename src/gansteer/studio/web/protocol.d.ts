// Written by `python -m gansteer.studio.typescript` from studio/protocol.py: change that, and run it again.

export type Json = Record<string, unknown>;
export type Point = [number, number];
export type Edit = { kind: string } & Json;
export interface PackedMask {
  shape: [number, number];
  packed: string;
}

/** Draw a seed, by the present node's model or another; it becomes the root of a new tree of the session. */
export interface Sample {
  type: "sample";
  seed: number;
  psi?: number;
  model?: string | null;
  label?: number | null;
  /** A seed that nothing was made of, whose place this one takes. */
  replacing?: number | null;
}

/** Begin an edit. What runs now is stopped first. */
export interface Start {
  type: "start";
  edit: Edit;
  /** The node whose picture is edited; None: the present one. */
  node?: number | null;
  /** A leaf that the result takes the place of: what a slider made a moment ago. */
  replacing?: number | null;
}

/** Stop the run within one step (or take it out of the queue). What was reached stays. */
export interface Stop {
  type: "stop";
}

/** Go on with the edit of the present node from where it was stopped. */
export interface Resume {
  type: "resume";
}

/** Back to the parent of the present node. */
export interface Undo {
  type: "undo";
}

/** Forward again to the child that was left by the last undo. */
export interface Redo {
  type: "redo";
}

/** Make any node the present one. A new edit there begins a branch. */
export interface Go {
  type: "go";
  node: number;
}

/** A picture between two nodes of one model: `(1 - t) a + t b`. Shown as a frame; with `keep`, made a node. */
export interface Interpolate {
  type: "interpolate";
  a: number;
  b: number;
  t: number;
  keep?: boolean;
}

/** The present picture with some styles of a seed's; it becomes a root of the session (`gansteer.mix`). */
export interface Mix {
  type: "mix";
  seed: number;
  psi?: number;
  label?: number | null;
  /** Those for colours and detail, or those for pose and shape. */
  takes?: "fine" | "coarse";
}

/**
 * A question of a panel about a node (None: the present one), such as `directions`; answered by `Answer` of the same
 * `id`.
 */
export interface Ask {
  type: "ask";
  id: number;
  about: string;
  node?: number | null;
  arguments?: Json;
}

/** The page has drawn this frame. No more than two frames are ever on their way. */
export interface Shown {
  type: "shown";
  frame: number;
}

/** Begin an empty session in this tab; the old one stays on the disk. */
export interface Leave {
  type: "leave";
}

/** A model to choose, with its card. */
export interface ModelInfo {
  name: string;
  resolution: number;
  domain: string;
  licence: string;
  description: string;
  limits: string[];
  training: Json;
  metrics: Json;
  /** Labels go from 0 to `classes - 1`; 0: this model has none. */
  classes: number;
  /** The seed of the picture to begin with. */
  first: number;
}

/** The first message. It is followed by `State` and the frame of the present node. */
export interface Welcome {
  type: "welcome";
  protocol: number;
  version: string;
  /** The key. Give it when connecting again (after a reload, say) to have this session back. */
  session: string;
  /** Whether the session is an old one. */
  restored: boolean;
  models: ModelInfo[];
  /** Kinds of edits that `Start` takes. */
  edits: string[];
  /** What `Ask` may be about. */
  answers: string[];
  /** What can be exported: name to description. Films in MP4 need an extra package. */
  exports: Record<string, string>;
  upload_bytes: number;
  upload_pixels: number;
  /** Days after which a session that nobody opens is deleted; None: never. */
  keep_days: number | null;
}

/** The picture `(1 - t) a + t b` of two nodes; or `a` with some styles of a seed's, and then b is a, and t is 0. */
export interface MixInfo {
  a: number;
  b: number;
  t: number;
}

/** One entry of the history. */
export interface NodeInfo {
  id: number;
  parent: number | null;
  /** In a few plain words, such as `Seed 3` or `Drag 2 points`. */
  title: string;
  /** The kind of edit that made it, or `seed`, `photo`, `between`, `mix`. */
  kind: string;
  model: string;
  steps: number;
  /** False while the edit runs or could be resumed. */
  done: boolean;
  /** What it was mixed of, if it was. */
  mixed: MixInfo | null;
}

/** The edit in progress. */
export interface RunInfo {
  /** The node that the result will be. */
  node: number;
  edit: Edit;
  state: "waiting" | "running";
  /** How many edits of other people come first; 0 when running. */
  position: number;
}

/** What is kept of one step of an edit: a `Progress` without its picture. Files and messages leave defaults out. */
export interface StepRecord {
  step: number;
  /** None where there is none. */
  loss: number | null;
  /** Where every handle was, in pixels of the picture. */
  points: Point[];
  /** Pixels from every handle to its target. */
  distances: number[];
  /** Of computing since the edit began. */
  seconds: number;
  /** As in `Progress`. */
  metrics?: Record<string, number>;
  /** As in `Progress`. */
  stage?: string;
}

/** All that there is to know, sent whenever any of it changed. An older one may be left out. */
export interface State {
  type: "state";
  nodes: NodeInfo[];
  current: number | null;
  can_undo: boolean;
  can_redo: boolean;
  can_resume: boolean;
  /** Whether all of this is on the disk. */
  saved: boolean;
  run: RunInfo | null;
  /** The edit that made the present node, mask and all. */
  edit: Edit | null;
  /** Its steps; at most some hundred, evenly spaced. */
  trail: StepRecord[];
  /** Where the present tree began: `{"seed": 3, "psi": 0.7, "label": null}`, say. */
  source: Json;
  /** Of the present node's picture: width and height in pixels. */
  resolution: number;
  /** Why the edit that made the present node ended, in one line. */
  ended: string | null;
}

/** Where the edit in progress is. An older one may be left out; frames carry the one that belongs to them. */
export interface Progress {
  type: "progress";
  node: number;
  trace: StepRecord;
  ended: string | null;
}

/** What `Ask` asked for. */
export interface Answer {
  type: "answer";
  id: number;
  value: unknown;
}

/** Something went wrong, in one line that says what to do. The session goes on. */
export interface Fault {
  type: "fault";
  message: string;
  /** Of the `Ask` that it answers. */
  id: number | null;
}

/**
 * How far a file is that is being made for this session; sent while a film is drawn. An older one may be left out.
 */
export interface Exporting {
  type: "exporting";
  node: number;
  /** One of `EXPORTS`. */
  what: string;
  /** Pictures that are drawn. */
  done: number;
  /** How many there will be. */
  of: number;
}

/** The answer to a file: what became of it. */
export interface Received {
  type: "received";
  /** The node that is now the present one. */
  node: number;
  what: "session" | "settings" | "photo";
  /** What a person should know of it, in one line: `found one face; this takes about a minute`. */
  note: string;
}

/** A square of a photo, in its pixels: the centre, the side, and the angle in degrees, clockwise. */
export interface CropInfo {
  x: number;
  y: number;
  size: number;
  angle: number;
}

/** Roughly what bringing in a photo takes on this machine. */
export interface CostInfo {
  seconds: number;
  /** Bytes while it runs, beside the model. */
  memory: number;
  /** Bytes in the session. */
  size: number;
}

/** The other answer to a file: what there is in a photo, before anything is begun. */
export interface Sight {
  type: "sight";
  width: number;
  /** Of the photo as a person sees it: turned as its EXIF says. */
  height: number;
  /** The photo as a `data:` address, no side longer than 1024 px. */
  preview: string;
  /** What could be taken: a crop for every face, the largest first, and then the middle. */
  crops: CropInfo[];
  /** How many of them are faces. */
  faces: number;
  /** What was found, or why nothing was, in a few words. */
  note: string;
  /** By the kind of tuning: `none` keeps the picture easy to edit, `light` comes nearest to the photo. */
  costs: Record<string, CostInfo>;
}

/** A session on the disk; its name is empty until a person gave it one. */
export interface SessionInfo {
  key: string;
  name: string;
  /** How many there are in it; null where an earlier release wrote it. */
  pictures: number | null;
  /** When it was opened or changed last, in milliseconds since 1970. */
  changed: number;
  /** By a page, now. */
  shown: boolean;
}

/** The head of a binary message. */
export interface Frame {
  /** A number for `Shown`, rising. */
  frame: number;
  /** None: a picture between two nodes. */
  node: number | null;
  /** Whether it is the whole picture without loss of size; False for a preview during an edit. */
  final: boolean;
  width: number;
  /** Of the picture in this message; a preview may be smaller than the model's resolution. */
  height: number;
  format: "image/jpeg" | "image/webp" | "image/png";
  /** The step that this picture belongs to. */
  trace: StepRecord | null;
}

export type FromPage = Sample | Start | Stop | Resume | Undo | Redo | Go | Interpolate | Mix | Ask | Shown | Leave;

export type FromServer = Welcome | State | Progress | Answer | Fault | Exporting;
