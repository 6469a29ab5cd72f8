/** Ids -> the Files themselves, which the state does not hold: dropped files with their configs, models, images. */

/** @typedef {import("../engine/protocol.js").Place} Kept */
/** @typedef {({ path: string } & Kept)[]} ModelFiles */
/** @typedef {import("../types.d.ts").Entry} Entry */

/** @type {Map<string, Kept>} */
const kept = new Map();
/** @type {Map<string, ModelFiles>} */
const folders = new Map();
/** The folder that a file was found in, with its handle where the browser gave one. @type {Map<string, Root>} */
const roots = new Map();
let count = 0;

/** @typedef {{ name: string, handle: FileSystemDirectoryHandle | null }} Root */

/** @type {Root} */
const NO_ROOT = { name: "", handle: null };

/** Files of a folder: it can be written to later. @param {string[]} ids @param {Root} root */
export function keepRoot(ids, root) {
  for (const id of ids) roots.set(id, root);
}

/** The folder of a file; one without a name for a file that was opened by itself. @param {string} id @returns {Root} */
export function rootOf(id) {
  return roots.get(id) ?? NO_ROOT;
}

/**
 * Keeps adapters with what belongs to them, each under an id of its own.
 * @template {{ file: File, config?: string }} T
 * @param {T[]} adapters
 * @returns {(T & { id: string })[]}
 */
export function keepDropped(adapters) {
  return adapters.map((adapter) => {
    const id = `file:${++count}`;
    kept.set(id, { file: adapter.file, config: adapter.config });
    return { ...adapter, id };
  });
}

/**
 * Keeps a file that lies at an address, under an id of its own.
 * @param {import("../remote/address.js").Remote} remote
 * @returns {string}
 */
export function keepRemote(remote) {
  const id = `address:${++count}`;
  kept.set(id, remote);
  return id;
}

/** @param {string} id @param {File} file */
export function keep(id, file) {
  kept.set(id, { file });
}

/** Keeps a file under an id of its own. @param {string} kind @param {File} file @returns {string} */
export function keepNew(kind, file) {
  const id = `${kind}:${++count}`;
  keep(id, file);
  return id;
}

/** Lets go of a closed file. @param {string} id */
export function forget(id) {
  kept.delete(id);
}

/** Keeps a model's folder under an id of its own. @param {ModelFiles} files @returns {string} */
export function keepFolder(files) {
  const id = `folder:${++count}`;
  folders.set(id, files);
  return id;
}

/** @param {string} id */
export function keptOf(id) {
  return kept.get(id);
}

/** The File of an id; undefined where there is none, or only an address. @param {string} id */
export function fileOf(id) {
  const place = kept.get(id);
  return place && "file" in place ? place.file : undefined;
}

/** @param {string} id */
export function folderOf(id) {
  return folders.get(id);
}

/**
 * What is known of a file before it is read.
 * @param {string} id
 * @param {{ name: string, size: number }} file
 * @returns {Entry}
 */
export function newEntry(id, { name, size }) {
  return { id, name, size, status: "reading", report: null, fixes: [], error: null, done: 0, secondsLeft: null };
}

/** An image to start from, or its mask, as the state holds it. @param {File} file */
export function keptImage(file) {
  return { id: keepNew("image", file), name: file.name, url: URL.createObjectURL(file) };
}
