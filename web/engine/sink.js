/** Bytes in pieces -> a file on the browser's own disk space, or a Blob where there is none; never whole in memory. */

import { scoped } from "../core/scope.js";

const FOLDER = scoped("results");
/** Bytes that are gathered before they become a Blob. */
const PIECE = 16 << 20;

/**
 * @typedef {{
 *   append: (bytes: Uint8Array<ArrayBuffer>) => void, begin: (bytes: Uint8Array<ArrayBuffer>) => void,
 *   finish: () => Promise<File>, drop: () => Promise<void>,
 * }} Sink `begin` writes over the file's first bytes
 */

/**
 * @param {string} name
 * @param {string} session the page's name for itself, which it holds a lock on
 * @returns {Promise<Sink>}
 */
export async function openSink(name, session) {
  try {
    return await diskSink(name, session);
  } catch {
    return blobSink(name); // private windows of some browsers give no disk space
  }
}

/** @param {string} name @param {string} session @returns {Promise<Sink>} */
async function diskSink(name, session) {
  const results = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  await clear(results, session);
  const folder = await results.getDirectoryHandle(session, { create: true });
  const own = crypto.randomUUID();
  const handle = await folder.getFileHandle(own, { create: true });
  const access = await handle.createSyncAccessHandle();
  let at = 0;
  return {
    append: (bytes) => void (at += access.write(bytes, { at })),
    begin: (bytes) => void access.write(bytes, { at: 0 }),
    async finish() {
      access.flush();
      access.close();
      return new File([await handle.getFile()], name);
    },
    async drop() {
      access.close();
      await folder.removeEntry(own);
    },
  };
}

/** What pages left that are closed by now. @param {FileSystemDirectoryHandle} results @param {string} session */
async function clear(results, session) {
  const { held = [] } = await navigator.locks.query();
  const open = new Set([session, ...held.map(({ name }) => name)]);
  for await (const name of results.keys()) {
    if (!open.has(name)) await results.removeEntry(name, { recursive: true }).catch(() => {});
  }
}

/** @param {string} name @returns {Sink} */
function blobSink(name) {
  /** @type {Blob[]} */
  let parts = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  let piece = [];
  let size = 0;
  const gather = () => {
    parts.push(new Blob(piece));
    piece = [];
    size = 0;
  };
  return {
    append(bytes) {
      piece.push(bytes);
      size += bytes.length;
      if (size >= PIECE) gather();
    },
    begin(bytes) {
      gather();
      parts = [new Blob([bytes]), new Blob(parts).slice(bytes.length)];
    },
    finish: async () => new File(parts, name),
    drop: async () => {},
  };
}
