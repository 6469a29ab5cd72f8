/**
 * CLIP's list of merges, which single-file checkpoints do not bring: fetched from beside the page when one is opened.
 */

import { t } from "../words.js";

const address = new URL("../../crate/src/text/clip_merges.txt.gz", import.meta.url);

/** @type {Promise<Uint8Array> | null} */
let merges = null;

/** The gzipped list. @returns {Promise<Uint8Array>} */
export function clipMerges() {
  merges ??= load();
  merges.catch(() => (merges = null)); // the next call tries again
  return merges;
}

async function load() {
  const failure = { kind: "download", message: t("error.merges") };
  const response = await fetch(address).catch(() => null);
  if (!response?.ok || !response.body) throw failure;
  const bytes = new Uint8Array(await response.arrayBuffer());
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (zipped) return bytes;
  // Some servers announce a .gz file as compressed transfer, and the browser has unpacked it.
  const packed = new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(packed).arrayBuffer());
}
