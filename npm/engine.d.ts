import type { Engine } from "./wasm/engine.js";
import type { Inspector } from "./wasm/inspector.js";

export type * from "./types.d.ts";
export type { Engine, Inspector };

/** A file as the calls of an inspector and an engine take it. */
export type Place =
  | { file: Blob; config?: string }
  | { name: string; size: number; read: (start: number, end: number) => Promise<Uint8Array>; config?: string };

/** A file, its bytes or its address as the calls take it. */
export function placeOf(
  source: Blob | ArrayBuffer | ArrayBufferView | URL | string,
  options?: { name?: string; config?: string; signal?: AbortSignal },
): Promise<Place>;

/** What reads and edits files. */
export function inspector(): Promise<Inspector>;

/** What generates images, on WebGPU or on the processor. */
export function engine(): Promise<Engine>;
