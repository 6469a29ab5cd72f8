/** Entry ids -> the Files themselves, which the state does not hold, and the config that came with each. */

/** @typedef {{ file: File, config?: string }} Kept */

/** @type {Map<string, Kept>} */
const kept = new Map();
let dropped = 0;

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
    const id = `file:${++dropped}`;
    kept.set(id, { file, config });
    return { id, file };
  });
}

/** @param {string} id @param {File} file */
export function keep(id, file) {
  kept.set(id, { file });
}

/** @param {string} id */
export function keptOf(id) {
  return kept.get(id);
}
