/** Entry ids -> the Files themselves, which the state does not hold. */

/** @type {Map<string, File>} */
const files = new Map();
let dropped = 0;

/** Keeps a dropped file and gives it an id. @param {File} file */
export function keepDropped(file) {
  const id = `file:${++dropped}`;
  files.set(id, file);
  return id;
}

/** @param {string} id @param {File} file */
export function keep(id, file) {
  files.set(id, file);
}

/** @param {string} id */
export function fileOf(id) {
  return files.get(id);
}
