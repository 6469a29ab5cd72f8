/** What the engine takes and gives back across the worker boundary. */

/** What a dropped file is. */
export type Report = {
  file: string;
  size: number;
  sha256: string;
  container: "safetensors" | "pickle_zip" | "pickle_legacy" | "gguf" | "unknown";
  kind:
    | "adapter"
    | "checkpoint"
    | "textual_inversion"
    | "html"
    | "json"
    | "git_lfs"
    | "gguf"
    | "image"
    | "pickle"
    | "empty"
    | "unknown";
  /** One plain sentence: what it is, for what, how strong; or why it is refused. */
  verdict: string;
  convention: string;
  algorithms: string[];
  base: Base;
  modules: ReportModule[];
  leftovers: Leftover[];
  /** Blocks in the network's own order. */
  coverage: BlockCoverage[];
  metadata: Record<string, string>;
  problems: Problem[];
};

export type Base = { family: string; label: string; evidence: string[] };

export type ReportModule = {
  path: string;
  algorithm: string;
  rank: number | null;
  alpha: number | null;
  scale: number;
  dtype: string;
  /** Frobenius norm of the change at strength 1. */
  norm: number | null;
  shape: number[];
  block: string;
};

export type Leftover = { key: string; reason: string };

export type BlockCoverage = {
  component: "text_encoder" | "text_encoder_2" | "unet";
  block: string;
  label: string;
  covered: number;
  total: number;
  norm: number;
};

export type Problem = {
  class: string;
  severity: "refuse" | "warn";
  message: string;
  modules: string[];
};

/** The whole cause of a picture. */
export type Recipe = {
  version: 1;
  model: string;
  adapters: RecipeAdapter[];
  prompt: string;
  negative: string;
  seed: number;
  steps: number;
  guidance: number;
  sampler: string;
  width: number;
  height: number;
};

export type RecipeAdapter = { name: string; sha256: string; strength: number };

export type GpuInfo = {
  adapter: string;
  vendor: string;
  backend: string;
  software: boolean;
  features: string[];
};

export type ModelInfo = {
  name: string;
  family: string;
  label: string;
  parameters: number;
  width: number;
  height: number;
  samplers: string[];
  /** Width and height must be multiples of this. */
  multiple: number;
};

export type Progress = {
  stage: "load" | "text" | "adapters" | "denoise" | "decode";
  step: number;
  steps: number;
  seconds_left: number | null;
};

export type Picture = {
  width: number;
  height: number;
  rgba: Uint8ClampedArray<ArrayBuffer>;
  png: Uint8Array<ArrayBuffer>;
  seconds: number;
  applied: { name: string; matched: number; leftovers: number }[];
};

/** What happened, why, and what to do. */
export type EngineError = { kind: string; message: string; where?: string };
