/** What was found out of the graphics card -> a small file that stays in this browser, for the worker. */

import { scoped } from "../core/scope.js";

const NAME = scoped("tuning.json");

/** @param {boolean} create */
const place = async (create) => (await navigator.storage.getDirectory()).getFileHandle(NAME, { create });

/** The text that was kept, "" where there is none or the browser keeps nothing. @returns {Promise<string>} */
export const load = () =>
  place(false)
    .then(async (handle) => (await handle.getFile()).text())
    .catch(() => "");

/** @param {string} text @returns {Promise<void>} where the browser keeps nothing, nothing happens */
export async function save(text) {
  try {
    const handle = await (await place(true)).createSyncAccessHandle();
    handle.truncate(0);
    handle.write(new TextEncoder().encode(text), { at: 0 });
    handle.close();
  } catch {
    // The next visit measures again.
  }
}
