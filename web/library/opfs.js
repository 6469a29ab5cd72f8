/**
 * The files that stay in this browser (the origin's private file system): what there is, and each as a File.
 *
 * Each has a folder of its own below library/. `about.json` names the file that is whole and verified; what is still
 * coming lies beside it, so that nothing that is kept is lost by a second download. `about.new` is the same text while
 * about.json is being written: at each moment at least one of them can be read. A Web Lock for each folder keeps two
 * tabs apart. library-worker.js writes them.
 */

import { scoped } from "../core/scope.js";
import { t } from "../words.js";

/** The folder that holds the files' own, and the first part of their locks' names. */
const LIBRARY = scoped("library");

/**
 * `file`: the name of the whole file, "" while there is none, and `sha256` and `size` are its own; `wanted`: the hash
 * that a download must have, "" for any; `total`: the bytes of the download that was begun, 0 if that is not known.
 * @typedef {{ name: string, address: string, wanted: string, sha256: string, size: number, etag: string, file: string,
 * total: number }} About
 */
/** @typedef {import("../types.d.ts").KeptFile} Kept */

/** @param {string} key @param {boolean} [create] */
export async function folder(key, create = false) {
  const root = await navigator.storage.getDirectory();
  return (await root.getDirectoryHandle(LIBRARY, { create: true })).getDirectoryHandle(key, { create });
}

/** The texts of a folder, the one that is always whole first. */
export const ABOUT = ["about.json", "about.new"];

/**
 * What is known of a folder's file; null if neither text can be read.
 * @param {FileSystemDirectoryHandle} dir
 * @returns {Promise<About | null>}
 */
export async function readAbout(dir) {
  for (const name of ABOUT) {
    try {
      const known = JSON.parse(await (await (await dir.getFileHandle(name)).getFile()).text());
      // Folders of earlier versions have no `file`: theirs was always called data.
      return { ...{ file: known.sha256 ? "data" : "", total: known.size }, ...known };
    } catch {
      // The other one is whole.
    }
  }
  return null;
}

/** The name of the file that is coming, beside the whole one. @param {About} about */
export function partOf({ file }) {
  return file === "data" ? "data.2" : "data";
}

/** One tab at a time. @template T @param {string} key @param {() => Promise<T>} act @returns {Promise<T>} */
export function locked(key, act) {
  return navigator.locks.request(`${LIBRARY}:${key}`, { ifAvailable: true }, (lock) => {
    if (!lock) throw failure(t("library.other_tab"));
    return act();
  });
}

/** @returns {Promise<Kept[]>} */
export async function list() {
  const root = await navigator.storage.getDirectory();
  const library = await root.getDirectoryHandle(LIBRARY, { create: true });
  /** @type {Kept[]} */
  const items = [];
  for await (const [key, dir] of /** @type {any} */ (library).entries()) {
    const about = await readAbout(dir);
    items.push(
      about
        ? await itemOf(key, dir, about)
        : { key, name: t("library.torn"), address: "", sha256: "", size: 0, received: await bytesOf(dir, "data") },
    );
  }
  return items.sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * A file is whole only if it is as long as its text says.
 * @param {string} key
 * @param {FileSystemDirectoryHandle} dir
 * @param {About} about
 * @returns {Promise<Kept>}
 */
async function itemOf(key, dir, about) {
  const { name, address, sha256, size, file, total } = about;
  const whole = file !== "" && (await bytesOf(dir, file)) === size;
  if (whole) return { key, name, address, sha256, size, received: size };
  return { key, name, address, sha256: "", size: total, received: await bytesOf(dir, partOf(about)) };
}

/** @param {FileSystemDirectoryHandle} dir @param {string} name */
async function bytesOf(dir, name) {
  const file = await dir.getFileHandle(name).then(
    (handle) => handle.getFile(),
    () => null,
  );
  return file?.size ?? 0;
}

/** Files that were opened from here, with their keys. @type {WeakMap<object, string>} */
const keys = new WeakMap();

/** The key of a file that was opened from here, "" for all others. @param {object | undefined} file */
export function keyOf(file) {
  return (file && keys.get(file)) ?? "";
}

/** @param {string} key @returns {Promise<File>} under its own name, still on disk */
export async function open(key) {
  const dir = await folder(key);
  const about = await readAbout(dir);
  if (!about?.file) throw failure(t("library.incomplete"));
  const data = await (await dir.getFileHandle(about.file)).getFile();
  if (data.size !== about.size) throw failure(t("library.incomplete"));
  const file = new File([data], about.name);
  keys.set(file, key);
  return file;
}

/** @param {string} key */
export function remove(key) {
  return locked(key, async () => {
    const root = await navigator.storage.getDirectory();
    await (await root.getDirectoryHandle(LIBRARY)).removeEntry(key, { recursive: true });
  });
}

/** @param {string} message */
export function failure(message) {
  return { kind: "library", message };
}
