/**
 * The bundled demo's addresses -> its list, model files and LoRA files. All beside the page, whatever path it is served
 * under.
 */

import { scoped } from "../core/scope.js";
import { t } from "../words.js";
import { besidePage } from "../world.js";

/** @typedef {import("../types.d.ts").DemoCatalogue} DemoCatalogue */

/** @param {string} path */
const address = (path) => besidePage(`demo/${path}`);

/** @returns {Promise<DemoCatalogue>} */
export async function fetchCatalogue() {
  const blob = await download("demo.json");
  return JSON.parse(await blob.text());
}

/**
 * All files of the model's folder, at once.
 * @param {DemoCatalogue} catalogue
 * @param {(received: number, total: number) => void} onProgress in bytes
 */
export async function fetchModel({ files }, onProgress) {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let received = 0;
  onProgress(0, total);
  return Promise.all(
    files.map(async ({ path, size }) => {
      const onBytes = (/** @type {number} */ bytes) => onProgress((received += bytes), total);
      return { path, file: new File([await download(`model/${path}`, { size, onBytes })], path) };
    }),
  );
}

/** @param {DemoCatalogue["loras"][number]} lora */
export async function fetchLora({ file, size }) {
  return new File([await download(`loras/${file}`, { size })], file);
}

/** Where sw.js keeps the demo's files once they were used, each under its address and revision. */
const CACHE = scoped("demo");

/** Every file of the demo. @param {DemoCatalogue} catalogue */
function filesOf({ files, loras }) {
  return [
    ...files.map(({ path, size }) => ({ path: `model/${path}`, size })),
    ...loras.map(({ file, size }) => ({ path: `loras/${file}`, size })),
  ];
}

/** How much of the demo stays in this browser. @param {DemoCatalogue | null} catalogue */
export async function demoKept(catalogue) {
  const files = catalogue ? filesOf(catalogue) : [];
  const keys =
    catalogue && "caches" in globalThis && (await caches.has(CACHE)) ? await (await caches.open(CACHE)).keys() : [];
  const kept = new Set(keys.map(({ url }) => url.split("?")[0]));
  return {
    kept: files.filter(({ path }) => kept.has(address(path).href)).length,
    all: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
  };
}

/** Every file is asked for once: the service worker keeps them. @param {DemoCatalogue | null} catalogue */
export async function keepDemo(catalogue) {
  if (catalogue) await Promise.all(filesOf(catalogue).map(({ path, size }) => download(path, { size })));
}

export function dropDemo() {
  return caches.delete(CACHE);
}

/**
 * @param {string} path
 * @param {{ size?: number, onBytes?: (bytes: number) => void }} [options]
 * @returns {Promise<Blob>}
 */
async function download(path, { size, onBytes } = {}) {
  const response = await fetch(address(path)).catch(() => {
    throw failure(path, t("demo.no_connection"));
  });
  if (!response.ok || !response.body) throw failure(path, t("demo.answered", { status: response.status }));
  const chunks = [];
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    onBytes?.(value.byteLength);
  }
  const blob = new Blob(chunks);
  if (size !== undefined && blob.size !== size) throw failure(path, t("demo.short", { came: blob.size, size }));
  return blob;
}

/** @param {string} path @param {string} why */
function failure(path, why) {
  return { kind: "download", message: t("demo.failed", { path, why }) };
}
