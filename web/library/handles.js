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
 * What stands behind files that were dropped, picked or opened with the app.
 * @type {WeakMap<File, FileSystemFileHandle>}
 */
const known = new WeakMap();

const store = () => createStore(scoped("loupe-handles"), "files");

/** @param {File} file @param {FileSystemFileHandle | null | undefined} handle */
export function remember(file, handle) {
  if (handle) known.set(file, handle);
  return file;
}

/** The handle of a file of the user's, where the browser gave one. @param {File | undefined} file */
export function handleOf(file) {
  return file && known.get(file);
}

/**
 * Asks for files in the browser's own dialogue, which gives handles; null where that was closed.
 * @returns {Promise<File[] | null>}
 */
export async function pickFiles() {
  const handles = await /** @type {any} */ (window).showOpenFilePicker({ multiple: true }).catch(() => null);
  return (
    handles &&
    Promise.all(
      handles.map(async (/** @type {FileSystemFileHandle} */ handle) => remember(await handle.getFile(), handle)),
    )
  );
}

/**
 * Whether the browser lets the page read a file without asking the user.
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<boolean>}
 */
export async function openable(handle) {
  return (await /** @type {any} */ (handle).queryPermission?.({ mode: "read" }).catch(() => "denied")) === "granted";
}

/**
 * The file where it lay, after the user has agreed if the browser wants that; null if it is gone or not allowed.
 * @param {FileSystemFileHandle} handle
 * @returns {Promise<File | null>}
 */
export async function reopened(handle) {
  try {
    if (
      !(await openable(handle)) &&
      (await /** @type {any} */ (handle).requestPermission({ mode: "read" })) !== "granted"
    )
      return null;
    return remember(await handle.getFile(), handle);
  } catch {
    return null;
  }
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
  const asked = /** @type {any} */ (handle);
  if (
    (await asked.queryPermission({ mode: "read" })) !== "granted" &&
    (await asked.requestPermission({ mode: "read" })) !== "granted"
  ) {
    throw failure(t("library.not_allowed", { name }));
  }
  const file = await handle.getFile().catch(() => {
    throw failure(t("library.moved", { name }));
  });
  return remember(file, handle);
}

/** @param {string} key */
export function forgetHandle(key) {
  return del(key, store());
}
