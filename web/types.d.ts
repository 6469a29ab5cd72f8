/** What the page itself knows: the state, the actions that change it, and the bundled demo's list. */

import type { EngineError, GpuInfo, ModelInfo, PageProgress, Picture, Recipe, Report } from "./engine/types.d.ts";

/** demo/demo.json. Paths are relative to demo/model/ and demo/loras/, sizes in bytes. */
export type DemoCatalogue = {
  name: string;
  files: { path: string; size: number }[];
  loras: { file: string; size: number; label: string; shows: string }[];
  prompts: string[];
  /** Width of the model's text features: what cross-attention takes in. */
  text_width: number;
  defaults: {
    steps: number;
    guidance: number;
    sampler: string;
    seed: number;
    width: number;
    height: number;
  };
};

/** One dropped (or demo) file. The File itself stays in library.js. */
export type Entry = {
  id: string;
  name: string;
  size: number;
  status: "reading" | "read" | "failed";
  report: Report | null;
  error: EngineError | null;
};

export type Gpu =
  | { status: "checking" }
  | { status: "ready"; info: GpuInfo }
  | { status: "missing"; error: EngineError };

export type Demo = {
  catalogue: DemoCatalogue | null;
  status: "none" | "loading" | "ready";
  /** Bytes downloaded so far, and in all. */
  received: number;
  total: number;
  model: ModelInfo | null;
};

export type SortKey = "order" | "path" | "block" | "algorithm" | "rank" | "alpha" | "scale" | "norm" | "dtype";

export type Table = {
  open: boolean;
  sort: SortKey;
  descending: boolean;
  filter: string;
  /** Every row is drawn, not just the first hundred. */
  all: boolean;
};

/** A cell of the coverage strip: "component/block". */
export type BlockKey = string;

/** What the Generate form holds. */
export type Form = {
  prompt: string;
  negative: string;
  seed: number;
  steps: number;
  guidance: number;
  sampler: string;
  /** An entry's id, "demo:FILE", or "" for no LoRA. */
  lora: string;
  strength: number;
};

export type Run = {
  status: "idle" | "running" | "cancelling";
  /** Which picture is being made, from 1. */
  picture: number;
  pictures: number;
  progress: PageProgress | null;
  error: EngineError | null;
};

/** Two pictures of the same recipe, but for the LoRA. */
export type Result = {
  /** The recipe with the LoRA, if there is one. */
  recipe: Recipe;
  /** The LoRA's label, "" when there is none. */
  lora: string;
  without: Picture | null;
  with: Picture | null;
};

export type Notice = { id: number; title: string; message: string };

export type State = {
  files: Entry[];
  selected: string;
  gpu: Gpu;
  demo: Demo;
  table: Table;
  pointed: BlockKey;
  chosen: BlockKey;
  rawMetadata: boolean;
  form: Form;
  run: Run;
  result: Result | null;
  compare: "side" | "slider";
  smooth: boolean;
  notices: Notice[];
  /** Read out by screen readers when it changes. */
  announcement: string;
};

export type Action =
  | { type: "gpu/known"; gpu: Gpu }
  | { type: "demo/listed"; catalogue: DemoCatalogue }
  | { type: "demo/try" }
  | { type: "demo/progress"; received: number; total: number }
  | { type: "demo/ready"; model: ModelInfo }
  | { type: "demo/failed" }
  | { type: "files/dropped"; files: File[]; folders: number }
  | { type: "files/added"; entry: Entry; select: boolean }
  | { type: "files/read"; id: string; report: Report }
  | { type: "files/failed"; id: string; error: EngineError }
  | { type: "files/selected"; id: string }
  | { type: "table/changed"; change: Partial<Table> }
  | { type: "table/sorted"; key: SortKey }
  | { type: "block/pointed"; block: BlockKey }
  | { type: "block/chosen"; block: BlockKey }
  | { type: "metadata/raw"; raw: boolean }
  | { type: "form/changed"; change: Partial<Form> }
  | { type: "run/generate" }
  | { type: "run/started"; pictures: number }
  | { type: "run/picture"; picture: number }
  | { type: "run/progress"; progress: PageProgress }
  | { type: "run/result"; result: Result }
  | { type: "run/done" }
  | { type: "run/cancel" }
  | { type: "run/cancelled" }
  | { type: "run/failed"; error: EngineError }
  | { type: "result/compared"; compare: "side" | "slider" }
  | { type: "result/smoothed"; smooth: boolean }
  | { type: "result/downloaded"; which: "without" | "with" }
  | { type: "text/copied"; text: string; what: string }
  | { type: "notice/raised"; title: string; message: string }
  | { type: "notice/dismissed"; id: number };

export type Send = (action: Action) => void;
