/**
 * Files and web addresses -> files that stay in the browser, laid out as opfs.js says.
 *
 * A download that was cut off, by the network, a closed page or a kill, goes on where its part ends. Like
 * remote-worker.js this
 * worker comes from its own file, starts when a person keeps or downloads something, asks the server that its name says
 * (bounds.js) and no other, and sends neither cookies nor where it comes from.
 */

import { createSHA256 } from "hash-wasm";
import { formatBytes } from "../core/format.js";
import { answer, loaded } from "../core/rpc.js";
import { boundsOf, within } from "../remote/bounds.js";
import { ABOUT, failure, folder, locked, partOf, readAbout } from "./opfs.js";
import { t, useLanguage } from "../words.js";

/** @typedef {import("./opfs.js").About} About */
/** @typedef {(received: number, size: number) => void} OnBytes */
/**
 * Bytes from `start` on of a file of `size`, 0 if that is not known; `exact` if it is known for sure.
 * @typedef {{ body: ReadableStream<Uint8Array>, start: number, size: number, exact: boolean }} Coming
 */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

const bounds = boundsOf(scope.name);

/** Bytes that are read at once, and milliseconds between two reports of progress. */
const PIECE = 4 << 20;
const REPORT_MS = 250;

/** Running downloads and copies by their keys. @type {Map<string, AbortController>} */
const running = new Map();

/**
 * One text after the other: a kill in between leaves one that can be read.
 * @param {FileSystemDirectoryHandle} dir
 * @param {About} about
 */
async function writeAbout(dir, about) {
  const bytes = new TextEncoder().encode(JSON.stringify(about));
  for (const name of ABOUT.toReversed()) {
    const handle = await (await dir.getFileHandle(name, { create: true })).createSyncAccessHandle();
    try {
      handle.truncate(0);
      handle.write(bytes, { at: 0 });
      handle.flush();
    } finally {
      handle.close();
    }
  }
}

/** @param {string} name @param {string} address @returns {About} */
function unknown(name, address) {
  return { name, address, wanted: "", sha256: "", size: 0, etag: "", file: "", total: 0 };
}

/** Copies a file of the user's. @param {{ key: string, file: File }} what @param {OnBytes} onBytes */
function keep({ key, file }, onBytes) {
  return locked(key, async () => {
    await room(file.size);
    const dir = await folder(key, true);
    const about = { ...((await readAbout(dir)) ?? unknown(file.name, "")), total: file.size };
    await writeAbout(dir, about);
    await stoppable(key, (signal) =>
      filled(dir, about, { body: file.stream(), start: 0, size: file.size, exact: true }, onBytes, signal),
    );
  });
}

/**
 * Begins a download, or goes on with it.
 * @param {{ key: string, name: string, address: string, wanted: string }} what
 * @param {OnBytes} onBytes
 */
function download({ key, name, address, wanted }, onBytes) {
  return locked(key, async () => {
    const dir = await folder(key, true);
    const known = (await readAbout(dir)) ?? unknown(name, address);
    const about = { ...known, wanted: wanted || known.wanted };
    await writeAbout(dir, about);
    const part = await (await dir.getFileHandle(partOf(about), { create: true })).getFile();
    await stoppable(key, async (signal) => {
      const came = await ask(about, part.size, signal);
      await room(came.size - came.start);
      Object.assign(about, { total: came.size, etag: came.etag });
      await writeAbout(dir, about);
      await filled(dir, about, came, onBytes, signal);
    }).catch(async (thrown) => {
      // What is whole stays, and half of another takes no room beside it; it may have become whole at the last moment.
      const isHalf = about.file && (await readAbout(dir))?.file === about.file;
      if (isHalf) await dir.removeEntry(partOf(about)).catch(() => {});
      throw thrown;
    });
  });
}

/**
 * Work that `stop` ends: it then rejects with kind "cancelled".
 * @param {string} key
 * @param {(signal: AbortSignal) => Promise<void>} work
 */
async function stoppable(key, work) {
  const stop = new AbortController();
  running.set(key, stop);
  try {
    await work(stop.signal);
  } catch (thrown) {
    if (stop.signal.aborted) throw { kind: "cancelled", message: t("keeper.stopped") };
    throw thrown;
  } finally {
    running.delete(key);
  }
}

/**
 * The file from byte `have` on, or from its beginning where the server gives no parts or the file has changed.
 * @param {About} about @param {number} have @param {AbortSignal} signal
 * @returns {Promise<Coming & { etag: string }>}
 */
async function ask(about, have, signal) {
  within(about.address, bounds, new URL(scope.location.href));
  const { host } = new URL(about.address);
  const get = (/** @type {number} */ from) =>
    fetch(about.address, {
      signal,
      credentials: "omit",
      referrerPolicy: "no-referrer",
      cache: "no-store",
      headers: from ? { range: `bytes=${from}-` } : {},
    }).catch((thrown) => {
      if (signal.aborted) throw thrown;
      throw failure(t("far.unreachable", { host }));
    });
  let response = await get(have);
  const changed = () => about.etag && response.headers.get("etag") && response.headers.get("etag") !== about.etag;
  if (response.status === 416 || (response.status === 206 && changed())) response = await get(0);
  if (!response.ok || !response.body) throw failure(t("keeper.answered", { host, status: response.status }));
  const start = response.status === 206 ? have : 0;
  const size = start + Number(response.headers.get("content-length") ?? 0);
  const total = Number(response.headers.get("content-range")?.split("/")[1]);
  // Without a range the length may be that of a compressed transfer, which is shorter than what comes.
  return {
    body: response.body,
    start,
    size: total || size,
    exact: total > 0,
    etag: response.headers.get("etag") ?? "",
  };
}

/**
 * Fills the part, verifies it, and makes it the whole file.
 * @param {FileSystemDirectoryHandle} dir
 * @param {About} about
 * @param {Coming} coming
 * @param {OnBytes} onBytes
 * @param {AbortSignal} signal
 */
async function filled(dir, about, coming, onBytes, signal) {
  const part = partOf(about);
  const { at, sha256 } = await written(dir, about, coming, onBytes, signal);
  const { size, exact } = coming;
  if (exact ? at !== size : at < size)
    throw failure(t("keeper.short", { at: formatBytes(at), size: formatBytes(size) }));
  if (about.wanted && sha256 !== about.wanted) {
    await dir.removeEntry(part);
    throw failure(t("keeper.other", { sha256, wanted: about.wanted }));
  }
  await writeAbout(dir, { ...about, sha256, size: at, total: at, file: part });
  // it may be open in another tab; the next one takes its place
  if (about.file) await dir.removeEntry(about.file).catch(() => {});
}

/**
 * @param {FileSystemDirectoryHandle} dir
 * @param {About} about
 * @param {Coming} coming
 * @param {OnBytes} onBytes
 * @param {AbortSignal} signal
 */
async function written(dir, about, { body, start, size }, onBytes, signal) {
  const hash = await createSHA256();
  const handle = await (await dir.getFileHandle(partOf(about), { create: true })).createSyncAccessHandle();
  const reader = body.getReader(); // Safari cannot iterate over a stream
  let at = start;
  try {
    handle.truncate(start);
    for (let read = 0; read < start; read += PIECE) {
      const piece = new Uint8Array(Math.min(PIECE, start - read));
      handle.read(piece, { at: read });
      hash.update(piece);
    }
    for (let told = -REPORT_MS; ;) {
      const { done, value } = await reader.read();
      if (done) break;
      signal.throwIfAborted();
      handle.write(value, { at });
      hash.update(value);
      at += value.byteLength;
      if (performance.now() - told < REPORT_MS) continue;
      told = performance.now();
      handle.flush();
      onBytes(at, size);
    }
  } catch (thrown) {
    if (/** @type {any} */ (thrown)?.name === "QuotaExceededError") throw failure(t("keeper.full"));
    if (about.address) throw failure(t("keeper.cut", { host: new URL(about.address).host, at: formatBytes(at) }));
    throw thrown;
  } finally {
    reader.cancel().catch(() => {});
    handle.flush();
    handle.close();
  }
  return { at, sha256: hash.digest("hex") };
}

/** @param {number} bytes */
async function room(bytes) {
  const { quota = Infinity, usage = 0 } = await navigator.storage.estimate();
  if (bytes > quota - usage)
    throw failure(t("keeper.no_room", { bytes: formatBytes(bytes), left: formatBytes(Math.max(0, quota - usage)) }));
}

/** @param {{ key: string }} what */
function stop({ key }) {
  running.get(key)?.abort();
}

const speaking = useLanguage(bounds.language).catch(() => {});

/** @param {(args: any, onBytes: OnBytes) => any} call */
function spoken(call) {
  return async (/** @type {any} */ args, /** @type {(progress: any) => void} */ onProgress) => {
    await speaking;
    return call(args, (received, size) => onProgress({ received, size }));
  };
}

answer(scope, { keep: spoken(keep), download: spoken(download), stop: spoken(stop) });
loaded(scope);
