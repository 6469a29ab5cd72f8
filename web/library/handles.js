/**
 * The user's own files that the library keeps without a copy: what the browser gives to find them again, in its
 * database.
 */

import { createStore, del, entries, get, set } from "idb-keyval";
import { scoped } from "../core/scope.js";
import { t } from "../words.js";
import { failure } from "./opfs.js";

/** @typedef {{ handle: FileSystemFileHandle, name: string, size: number, sha256: string }} Own */

/**
 * What stands behind files that were dropped, picked or opened with the app, and behind the list of a folder's files.
 * @type {WeakMap<object, FileSystemHandle>}
 */
const known = new WeakMap();

const store = () => createStore(scoped("loupe-handles"), "files");

/**
 * @template {object} T
 * @param {T} opened a file, or the list of a folder's files
 * @param {FileSystemHandle | null | undefined} handle
 */
export function remember(opened, handle) {
  if (handle) known.set(opened, handle);
  return opened;
}

/** The handle of what the user opened, where the browser gave one. @param {object | undefined} opened */
export function handleOf(opened) {
  return opened && known.get(opened);
}

/**
 * Asks for files in the browser's own dialogue, which gives handles; null where that was closed.
 * @param {boolean} multiple
 * @returns {Promise<File[] | null>}
 */
export async function pickFiles(multiple) {
  const handles = await /** @type {any} */ (window).showOpenFilePicker({ multiple }).catch(() => null);
  return (
    handles &&
    Promise.all(
      handles.map(async (/** @type {FileSystemFileHandle} */ handle) => remember(await handle.getFile(), handle)),
    )
  );
}

/**
 * Asks for a folder likewise; null where the dialogue was closed.
 * @returns {Promise<import("../types.d.ts").Folder | null>}
 */
export async function pickFolder() {
  const handle = await /** @type {any} */ (window).showDirectoryPicker().catch(() => null);
  return handle && { name: handle.name, files: await filesIn(handle, ""), handle };
}

/**
 * Asks for a folder to write to; null where the dialogue was closed.
 * @returns {Promise<FileSystemDirectoryHandle | null>}
 */
export function pickWritable() {
  return /** @type {any} */ (window).showDirectoryPicker({ mode: "readwrite" }).catch(() => null);
}

/**
 * A folder that the page may write to, after the user has agreed; null where that is refused.
 * @param {FileSystemDirectoryHandle} folder
 * @returns {Promise<FileSystemDirectoryHandle | null>}
 */
export async function writable(folder) {
  const answer = await /** @type {any} */ (folder).requestPermission?.({ mode: "readwrite" }).catch(() => "denied");
  return answer === "granted" ? folder : null;
}

/** Whether a folder has a file at this path. @param {FileSystemDirectoryHandle} folder @param {string} path */
export async function isThere(folder, path) {
  const names = path.split("/");
  try {
    for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name);
    await folder.getFileHandle(names[names.length - 1]);
    return true;
  } catch {
    return false;
  }
}

/**
 * Writes a file, and the folders above it; false if there is one already, which stays.
 * @param {FileSystemDirectoryHandle} folder @param {string} path @param {Blob} blob
 */
export async function writeNew(folder, path, blob) {
  if (await isThere(folder, path)) return false;
  const names = path.split("/");
  for (const name of names.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create: true });
  const handle = await folder.getFileHandle(names[names.length - 1], { create: true });
  // Safari has none yet, nor a dialogue that gives such a folder.
  await blob.stream().pipeTo(await handle["createWritable"]());
  return true;
}

/**
 * Whether the browser lets the page read a file or a folder without asking the user.
 * @param {FileSystemHandle} handle
 * @returns {Promise<boolean>}
 */
export async function openable(handle) {
  return (await /** @type {any} */ (handle).queryPermission?.({ mode: "read" }).catch(() => "denied")) === "granted";
}

/**
 * The file where it lay, after the user has agreed if the browser wants that.
 * @param {FileSystemHandle} handle
 * @param {string} name
 * @returns {Promise<File>}
 */
export async function reopened(handle, name) {
  await allowed(handle, name);
  return found(name, async () => remember(await /** @type {FileSystemFileHandle} */ (handle).getFile(), handle));
}

/**
 * The files of a folder where it lay, likewise, with their paths in it.
 * @param {FileSystemHandle} handle
 * @param {string} name
 */
export async function reopenedFolder(handle, name) {
  await allowed(handle, name);
  return found(name, async () =>
    remember(await filesIn(/** @type {FileSystemDirectoryHandle} */ (handle), ""), handle),
  );
}

/** @param {FileSystemHandle} handle @param {string} name */
async function allowed(handle, name) {
  const agreed =
    (await openable(handle)) || (await /** @type {any} */ (handle).requestPermission({ mode: "read" })) === "granted";
  if (!agreed) throw failure(t("library.not_allowed", { name }));
}

/** @template T @param {string} name @param {() => Promise<T>} look @returns {Promise<T>} */
function found(name, look) {
  return look().catch(() => {
    throw failure(t("library.moved", { name }));
  });
}

/**
 * @param {FileSystemDirectoryHandle} folder
 * @param {string} path
 * @returns {Promise<{ path: string, file: File }[]>}
 */
async function filesIn(folder, path) {
  /** @type {{ path: string, file: File }[]} */
  const files = [];
  for await (const [name, handle] of /** @type {any} */ (folder).entries()) {
    if (handle.kind === "directory") files.push(...(await filesIn(handle, `${path}${name}/`)));
    else files.push({ path: path + name, file: await handle.getFile() });
  }
  return files;
}

/** @param {string} key @param {Own} own */
export function keepHandle(key, own) {
  return set(key, own, store());
}

/** @returns {Promise<import("../types.d.ts").KeptFile[]>} */
export async function listHandles() {
  const all = /** @type {[string, Own][]} */ (await entries(store()));
  return all.map(([key, { name, size, sha256 }]) => ({
    key,
    name,
    size,
    sha256,
    address: "",
    received: size,
    own: true,
  }));
}

/**
 * The file where it lies, after the user has agreed once more if the browser wants that.
 * @param {string} key
 * @returns {Promise<File>}
 */
export async function openHandle(key) {
  const { handle, name } = /** @type {Own} */ (await get(key, store()));
  return reopened(handle, name);
}

/** @param {string} key */
export function forgetHandle(key) {
  return del(key, store());
}
