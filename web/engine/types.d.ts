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
  modules: ModuleRow[];
  leftovers: LeftoverRow[];
  /** Blocks in the network's own order. */
  coverage: Coverage[];
  metadata: Record<string, string>;
  problems: Problem[];
};

export type Base = { family: string; label: string; evidence: string[] };

export type ModuleRow = {
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

export type LeftoverRow = { key: string; reason: string };

export type Coverage = {
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
  adapters: AdapterChoice[];
  prompt: string;
  negative: string;
  seed: number;
  steps: number;
  guidance: number;
  sampler: string;
  width: number;
  height: number;
};

export type AdapterChoice = { name: string; sha256: string; strength: number };

export type GpuInfo = {
  adapter: string;
  backend: string;
  /** It is the processor in disguise. */
  software: boolean;
  shader_f16: boolean;
  /** Most bytes of one binding. */
  max_binding: number;
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

export type Stage = "load" | "text" | "adapters" | "denoise" | "decode";

export type PageProgress = { stage: Stage; step: number; steps: number; seconds_left: number | null };

/** What an adapter did: layers that changed, and keys that name nothing in the model. */
export type Applied = { name: string; matched: number; leftovers: number };

export type PictureInfo = { width: number; height: number; seconds: number; applied: Applied[] };

export type Picture = PictureInfo & { rgba: Uint8ClampedArray<ArrayBuffer>; png: Uint8Array<ArrayBuffer> };

/** What happened, why, and what to do. */
export type EngineError = { kind: string; message: string };
