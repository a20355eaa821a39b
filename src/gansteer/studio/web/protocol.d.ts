// studio/protocol.py in TypeScript; tests/studio/test_page_types.py holds the two together.
export type Point = [number, number];
export type Json = Record<string, unknown>;
export interface PackedMask {
  shape: [number, number];
  packed: string;
}
export type Edit = { kind: string } & Json;

export type FromPage =
  | { type: "sample"; seed: number; psi?: number; model?: string | null; label?: number | null; replacing?: number | null }
  | { type: "start"; edit: Edit; node?: number | null; replacing?: number | null }
  | { type: "stop" | "resume" | "undo" | "redo" | "leave" }
  | { type: "go"; node: number }
  | { type: "interpolate"; a: number; b: number; t: number; keep?: boolean }
  | { type: "ask"; id: number; about: string; node?: number | null; arguments?: Json }
  | { type: "shown"; frame: number };

export interface ModelInfo {
  name: string;
  resolution: number;
  domain: string;
  licence: string;
  description: string;
  limits: string[];
  training: Json;
  metrics: Json;
  classes: number;
}
export interface Welcome {
  type: "welcome";
  protocol: number;
  version: string;
  session: string;
  restored: boolean;
  models: ModelInfo[];
  edits: string[];
  answers: string[];
  exports: Record<string, string>;
  upload_bytes: number;
  upload_pixels: number;
  keep_days: number | null;
}
export interface NodeInfo {
  id: number;
  parent: number | null;
  title: string;
  kind: string;
  model: string;
  steps: number;
  done: boolean;
}
export interface RunInfo {
  node: number;
  edit: Edit;
  state: "waiting" | "running";
  position: number;
}
export interface Trace {
  step: number;
  loss: number | null;
  points: Point[];
  distances: number[];
  seconds: number;
}
export interface State {
  type: "state";
  nodes: NodeInfo[];
  current: number | null;
  can_undo: boolean;
  can_redo: boolean;
  can_resume: boolean;
  saved: boolean;
  run: RunInfo | null;
  edit: Edit | null;
  trail: Trace[];
  source: Json;
  resolution: number;
  ended: string | null;
}
export interface Progress {
  type: "progress";
  node: number;
  trace: Trace;
  ended: string | null;
}
export interface Answer {
  type: "answer";
  id: number;
  value: unknown;
}
export interface Fault {
  type: "fault";
  message: string;
  id: number | null;
}
export interface Received {
  type: "received";
  node: number;
  what: "session" | "settings" | "photo";
  note: string;
}
export interface CropInfo {
  x: number;
  y: number;
  size: number;
  angle: number;
}
export interface CostInfo {
  seconds: number;
  memory: number;
  size: number;
}
export interface Sight {
  type: "sight";
  width: number;
  height: number;
  preview: string;
  crops: CropInfo[];
  faces: number;
  note: string;
  costs: Record<string, CostInfo>;
}
export type FromServer = Welcome | State | Progress | Answer | Fault;

export interface Frame {
  frame: number;
  node: number | null;
  final: boolean;
  width: number;
  height: number;
  format: string;
  trace: Trace | null;
}
