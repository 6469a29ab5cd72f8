/** Ids -> the Files themselves, which the state does not hold: dropped files with their configs, models, pictures. */

/** @typedef {{ file: File, config?: string }} Kept */
/** @typedef {{ path: string, file: Blob }[]} ModelFiles */

/** @type {Map<string, Kept>} */
const kept = new Map();
/** @type {Map<string, ModelFiles>} */
const folders = new Map();
let count = 0;

/**
 * Keeps the files of one drop, each under an id of its own. An adapter_config.json among them is no
 * file to look at but belongs to the others.
 * @param {File[]} files
 * @returns {Promise<{ id: string, file: File }[]>}
 */
export async function keepDropped(files) {
  const isConfig = (/** @type {File} */ { name }) => name === "adapter_config.json";
  const config = files.length > 1 ? await files.find(isConfig)?.text() : undefined;
  const shown = config === undefined ? files : files.filter((file) => !isConfig(file));
  return shown.map((file) => {
    const id = `file:${++count}`;
    kept.set(id, { file, config });
    return { id, file };
  });
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

/** @param {string} id */
export function folderOf(id) {
  return folders.get(id);
}
