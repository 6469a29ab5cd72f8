/**
 * The files that stay in this browser (the origin's private file system): what there is, and each as a File.
 *
 * Each has a folder of its own below library/: `data`, and `about.json`, which has a hash once `data` is complete.
 * A Web Lock for each folder keeps two tabs apart. library-worker.js writes them.
 */

import { t } from "../words.js";

/** @typedef {{ name: string, address: string, wanted: string, sha256: string, size: number, etag: string }} About `wanted`: the hash that it must have, "" for any */
/** @typedef {import("../types.d.ts").KeptFile} Kept */

/** @param {string} key @param {boolean} [create] */
export async function folder(key, create = false) {
  const root = await navigator.storage.getDirectory();
  return (await root.getDirectoryHandle("library", { create: true })).getDirectoryHandle(key, { create });
}

/** @param {FileSystemDirectoryHandle} dir @returns {Promise<About | null>} */
export async function readAbout(dir) {
  const file = await dir.getFileHandle("about.json").then((handle) => handle.getFile(), () => null);
  return file && JSON.parse(await file.text().catch(() => "null") || "null");
}

/** One tab at a time. @template T @param {string} key @param {() => Promise<T>} act @returns {Promise<T>} */
export function locked(key, act) {
  return navigator.locks.request(`loupe-library:${key}`, { ifAvailable: true }, (lock) => {
    if (!lock) throw failure(t("shelf.other_tab"));
    return act();
  });
}

/** @returns {Promise<Kept[]>} */
export async function list() {
  const root = await navigator.storage.getDirectory();
  const library = await root.getDirectoryHandle("library", { create: true });
  /** @type {Kept[]} */
  const items = [];
  for await (const [key, dir] of /** @type {any} */ (library).entries()) {
    const about = await readAbout(dir).catch(() => null);
    if (!about) continue; // another tab begins or deletes it just now
    const { name, address, sha256, size } = about;
    items.push({ key, name, address, sha256, size, received: sha256 ? size : await arrived(dir) });
  }
  return items.sort((a, b) => a.name.localeCompare(b.name));
}

/** Bytes of an unfinished file. @param {FileSystemDirectoryHandle} dir @returns {Promise<number>} */
async function arrived(dir) {
  const file = await dir.getFileHandle("data").then((handle) => handle.getFile(), () => null);
  return file?.size ?? 0;
}

/** @param {string} key @returns {Promise<File>} under its own name, still on disk */
export async function open(key) {
  const dir = await folder(key);
  const about = await readAbout(dir);
  if (!about?.sha256) throw failure(t("shelf.incomplete"));
  return new File([await (await dir.getFileHandle("data")).getFile()], about.name);
}

/** @param {string} key */
export function remove(key) {
  return locked(key, async () => {
    const root = await navigator.storage.getDirectory();
    await (await root.getDirectoryHandle("library")).removeEntry(key, { recursive: true });
  });
}

/** @param {string} message */
export function failure(message) {
  return { kind: "library", message };
}
