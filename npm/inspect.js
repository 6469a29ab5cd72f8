/** Reports on LoRA files: the small entry of the package. */

import { placeOf } from "./source.js";
import { once } from "./wasm.js";

const start = once(() => import("./wasm/report.js"), "report");

/**
 * The report on a file. Whatever is wrong with the file is a problem of the report; only an address that cannot be read,
 * and an abort, are thrown.
 * @param {Blob | ArrayBuffer | ArrayBufferView | URL | string} source a file, its bytes or its address
 * @param {import("./inspect.d.ts").Options} [options]
 * @returns {Promise<import("./types.d.ts").Report>}
 */
export async function inspect(source, { headers = false, onProgress, ...options } = {}) {
  const [module, place] = await Promise.all([start(), placeOf(source, options)]);
  options.signal?.throwIfAborted();
  const report = await (headers ? module.inspect_header(place) : module.inspect(place, onProgress));
  options.signal?.throwIfAborted();
  return report;
}
