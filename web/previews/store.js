/** Previews that are not saved yet, kept in the browser's database: a reload or a cancelled run loses none. */

import { clear, createStore, delMany, get, keys, set } from "idb-keyval";
import { scoped } from "../core/scope.js";

/**
 * What was being made: of which folder, by which recipe (`cause`), how many of how many.
 * @typedef {{
 *   folder: string, handle: FileSystemDirectoryHandle | null, form: import("../types.d.ts").PreviewForm,
 *   cause: string, model: string, done: number, all: number,
 * }} Left
 */

const RUN = "run";

const store = () => createStore(scoped("loupe-previews"), "images");

/** Without a database (private windows) nothing is kept. @template T @param {() => Promise<T>} act */
const ifThere = (act) =>
  Promise.resolve()
    .then(act)
    .catch(() => undefined);

/** @returns {Promise<Left | undefined>} */
export const leftRun = () => ifThere(() => get(RUN, store()));

/** @param {Left} left */
export const keepRun = (left) => ifThere(() => set(RUN, left, store()));

export const forgetAll = () => ifThere(() => clear(store()));

/** A file as it is found again: by where it lies and when it was written. @param {string} path @param {File} file */
const keyOf = (/** @type {string} */ cause, path, file) => JSON.stringify([cause, path, file.size, file.lastModified]);

/** @param {string} cause @param {string} path @param {File} file @returns {Promise<Blob | undefined>} */
export const keptImage = (cause, path, file) => ifThere(() => get(keyOf(cause, path, file), store()));

/** @param {string} cause @param {string} path @param {File} file @param {Blob} image */
export const keepImage = (cause, path, file, image) => ifThere(() => set(keyOf(cause, path, file), image, store()));

/** Lets go of the images of other recipes. @param {string} cause */
export const keepOnly = (cause) =>
  ifThere(async () => {
    const own = JSON.stringify([cause]).slice(0, -1);
    const others = (await keys(store())).filter((key) => key !== RUN && !String(key).startsWith(`${own},`));
    await delMany(others, store());
  });
