/** What is inspected: Blobs, bytes, and files at URLs, of which only the asked ranges are fetched. */

/**
 * The argument of the modules' calls.
 * @param {Blob | ArrayBuffer | ArrayBufferView | URL | string} source
 * @param {{ name?: string, config?: string, signal?: AbortSignal }} [options]
 */
export async function placeOf(source, { name, config, signal } = {}) {
  if (typeof source === "string" || source instanceof URL) return remote(String(source), { name, config, signal });
  if (source instanceof Blob && !name) return { file: source, config };
  const parts = /** @type {BlobPart[]} */ ([source]);
  return { file: new File(parts, name ?? ""), config };
}

/**
 * @param {string} text
 * @param {{ name?: string, config?: string, signal?: AbortSignal }} options
 */
async function remote(text, { name, config, signal }) {
  const url = new URL(text, globalThis.document?.baseURI ?? globalThis.location?.href);
  const named = name ?? decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
  const first = await asked(url, "bytes=0-0", signal);
  const size = Number(first.headers.get("content-range")?.split("/")[1]);
  // A server without ranges sends the whole file, and so does one that hides the length from other sites.
  if (first.status !== 206 || !Number.isSafeInteger(size) || size === 0) {
    const whole = first.status === 206 ? await asked(url, undefined, signal) : first;
    return { file: new File([await whole.blob()], named), config };
  }
  const read = async (/** @type {number} */ start, /** @type {number} */ end) =>
    new Uint8Array(await (await asked(url, `bytes=${start}-${end - 1}`, signal)).arrayBuffer());
  return { name: named, size, read, config };
}

/** @param {URL} url @param {string | undefined} range @param {AbortSignal} [signal] */
async function asked(url, range, signal) {
  const response = await fetch(url, { headers: range ? { range } : {}, signal });
  if (!response.ok) throw new Error(`${url.host} answered ${response.status} for ${url.pathname}`);
  return response;
}
