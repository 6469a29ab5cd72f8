import type { ReadProgress, Report } from "./types.d.ts";

export type * from "./types.d.ts";

export interface Options {
  /** Read the header only: no norms, scales or hashes. */
  headers?: boolean;
  /** The file's name, if the source has none. */
  name?: string;
  /** The text of the adapter_config.json that lies beside the file. */
  config?: string;
  /** Ends the requests of a file at a URL. */
  signal?: AbortSignal;
  /** Called several times a second with the layers that were read. */
  onProgress?: (progress: ReadProgress) => void;
}

/**
 * The report on a file. Whatever is wrong with the file is a problem of the report; only an address that cannot be read, and
 * an abort, are thrown.
 */
export function inspect(
  source: Blob | ArrayBuffer | ArrayBufferView | URL | string,
  options?: Options,
): Promise<Report>;
