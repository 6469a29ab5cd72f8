/** A file -> the hashes by which recipes name it, read in pieces. */

import { createSHA256 } from "hash-wasm";

/** Bytes that are read at once. */
const PIECE = 4 << 20;
/** A header longer than this is none. */
const MOST_HEADER = 100e6;

/**
 * SHA-256 of the file, and AutoV3: that of a safetensors file's data after its header, "" for other files.
 * @param {File} file
 * @param {AbortSignal} signal
 */
export async function hashesOf(file, signal) {
  const [all, data] = await Promise.all([createSHA256(), createSHA256()]);
  all.init();
  data.init();
  const start = /\.safetensors$/i.test(file.name) ? await dataStart(file) : 0;
  for (let at = 0; at < file.size; at += PIECE) {
    signal.throwIfAborted();
    const piece = new Uint8Array(await file.slice(at, at + PIECE).arrayBuffer());
    all.update(piece);
    if (start && at + piece.length > start) data.update(piece.subarray(Math.max(0, start - at)));
  }
  return { sha256: all.digest(), autoV3: start ? data.digest() : "" };
}

/** Where a safetensors file's data begins, 0 if it has no header. @param {File} file */
async function dataStart(file) {
  const head = await file.slice(0, 8).arrayBuffer();
  const length = head.byteLength === 8 ? Number(new DataView(head).getBigUint64(0, true)) : 0;
  return length > 0 && length <= MOST_HEADER ? 8 + length : 0;
}
