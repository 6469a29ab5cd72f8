/** The opened files, base models and their parts -> what finds them again in the next visit, and the files again. */

import { fileOf, folderOf, keepFolder, keepNew, keptOf } from "../files/opened.js";
import { handleOf, openable, reopened, reopenedFolder } from "../library/handles.js";
import { keyOf, open as openKept } from "../library/opfs.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */
/** @typedef {import("../files/opened.js").ModelFiles} ModelFiles */
/**
 * `handle`, or `key` in the library, finds it again; null and "" where there is neither. `config` is the text of the
 * PEFT config beside a file.
 * @typedef {{ name: string, handle: FileSystemHandle | null, key: string, as: "file" | "model" | "part",
 * config?: string, chosen?: boolean }} Opened
 */

/** All that the user has opened. @param {Pick<State, "files" | "base">} state @returns {Opened[]} */
export function openedFiles({ files, base: { own, parts, chosen } }) {
  return [
    ...own.map(({ id, name }) => ({ ...source(id), name, as: /** @type {const} */ ("model"), chosen: id === chosen })),
    ...parts.map(({ id, name }) => ({ ...source(id), name, as: /** @type {const} */ ("part") })),
    ...files
      .filter(({ id }) => !id.startsWith("demo:"))
      .map(({ id, name }) => ({ ...source(id), name, as: /** @type {const} */ ("file"), config: keptOf(id)?.config })),
  ];
}

/** @param {string} id */
function source(id) {
  const opened = folderOf(id) ?? fileOf(id);
  return { handle: handleOf(opened) ?? null, key: keyOf(opened) };
}

/** Whether the browser wants the user's consent first. @param {Opened} opened */
export async function needsConsent({ handle }) {
  return handle !== null && !(await openable(handle));
}

/**
 * Opens them again, as what they were.
 * @param {Opened[]} all
 * @param {Send} send
 * @returns {Promise<string[]>} the names of those that were not found
 */
export async function openAgain(all, send) {
  const found = await Promise.all(all.map((each) => opened(each).catch(() => null)));
  for (const [at, what] of found.entries()) if (what) use(all[at], what, send);
  return all.flatMap(({ name }, at) => (found[at] ? [] : [name]));
}

/** @param {Opened} opened @returns {Promise<File | ModelFiles | null>} */
async function opened({ handle, key, name }) {
  if (handle?.kind === "directory") return reopenedFolder(handle, name);
  if (handle) return reopened(handle, name);
  return key ? openKept(key) : null;
}

/** @param {Opened} opened @param {File | ModelFiles} what @param {Send} send */
function use({ as, name, config, chosen }, what, send) {
  if (Array.isArray(what)) useModel(keepFolder(what), "folder");
  else if (as === "model") useModel(keepNew("model", what), "file");
  else if (as === "part") send({ type: "part/added", part: { id: keepNew("part", what), name } });
  else {
    const beside = config === undefined ? [] : [new File([config], "adapter_config.json")];
    send({ type: "files/dropped", files: [what, ...beside], folders: [], place: "session" });
  }

  /** @param {string} id @param {"file" | "folder"} kind */
  function useModel(id, kind) {
    send({ type: "model/added", model: { id, name, kind } });
    if (chosen) send({ type: "model/chosen", id });
  }
}
