/**
 * The library's actions -> files that stay in this browser, written by a worker of their own; what is there goes into
 * the state.
 */

import workerAddress from "./library-worker.js?worker&url";
import { addressOf, boundWorker, fileAddress } from "../remote/address.js";
import { asError, isCancelled } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { Bridge } from "../core/rpc.js";
import { list, open as openKept, remove as removeKept } from "./opfs.js";
import { demoKept, dropDemo, keepDemo } from "../demo/files.js";
import { forgetHandle, handleOf, keepHandle, listHandles, openHandle } from "./handles.js";
import { fileOf } from "../files/opened.js";
import { t } from "../words.js";
import { persistStorage, storageRoom } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../types.d.ts").State} State */

/** What keeps files in this browser. */
export class Library {
  #jobs;
  #send;
  #getState;
  /** A worker for each server that is asked, and one for files that are here. @type {Map<string, Bridge>} */
  #bridges = new Map();

  /**
   * @param {{ jobs: import("../core/jobs.js").Jobs, send: import("../types.d.ts").Send, getState: () => State }} world
   */
  constructor({ jobs, send, getState }) {
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    void this.#look();
  }

  /** @param {string} address "" for none */
  #bridgeOf(address) {
    const origin = address && new URL(address).origin;
    const says = {
      crashed: (/** @type {string} */ message) => t("worker.failed", { message }),
      notLoaded: () => t("worker.not_loaded"),
    };
    const onMissing = () => this.#send({ type: "part/missing" });
    const bridge =
      this.#bridges.get(origin) ?? new Bridge(() => boundWorker(workerAddress, address), { says, onMissing });
    this.#bridges.set(origin, bridge);
    return bridge;
  }

  /** What is kept, and how much room there is. */
  async #look() {
    try {
      const items = [...(await list()), ...(await listHandles())].sort((a, b) => a.name.localeCompare(b.name));
      const { usage, quota, persisted } = await storageRoom();
      this.#send({
        type: "library/listed",
        items,
        demo: await demoKept(this.#getState().demo.catalogue),
        usage,
        quota,
        persisted,
      });
    } catch {
      // Without a private file system (private windows of some browsers) there is no library.
    }
  }

  /** @param {string} key @param {string} name @param {"keep" | "download"} call @param {{ address?: string }} args */
  async #work(key, name, call, args) {
    const bridge = this.#bridgeOf(args.address ?? "");
    const job = this.#jobs.start({
      ...{ lane: "disk", kind: call, name, key: `library:${key}`, same: "refuse" },
      run: (signal, progress) => {
        const hear = (/** @type {{ received: number, size: number }} */ { received, size }) => {
          if (size) progress(received / size);
          this.#send({ type: "library/working", key, work: { name, received, size, error: null } });
        };
        return onAbort(
          signal,
          () => bridge.call("stop", { key }),
          () => bridge.call(call, { key, ...args }, { onProgress: hear }),
        );
      },
    });
    if (!job) return;
    this.#send({ type: "library/working", key, work: { name, received: 0, size: 0, error: null } });
    const error = await job.done.then(
      () => null,
      (thrown) => (isCancelled(thrown) ? null : asError(thrown)),
    );
    this.#send({ type: "library/working", key, work: error && { name, received: 0, size: 0, error } });
    await this.#look();
  }

  /** An opened file, copied into the browser's storage, or downloaded from where it lies. @param {string} id */
  async #keep(id) {
    const entry = this.#getState().files.find((entry) => entry.id === id);
    if (!entry) return;
    void persistStorage();
    const file = fileOf(id);
    const handle = /** @type {FileSystemFileHandle | undefined} */ (handleOf(file));
    if (file && handle) await this.#keepOwn(file, handle, entry.report?.sha256 ?? "");
    else if (file)
      await this.#work(
        await keyOf(`${file.name} ${file.size} ${file.lastModified}`),
        file.name,
        "keep",
        /** @type {{}} */ ({ file }),
      );
    else if (entry.address) await this.#download(entry.address, "", true);
  }

  /**
   * The user's own file, without a copy.
   * @param {File} file
   * @param {FileSystemFileHandle} handle
   * @param {string} sha256 "" while it is not known
   */
  async #keepOwn({ name, size, lastModified }, handle, sha256) {
    await keepHandle(await keyOf(`${name} ${size} ${lastModified}`), { handle, name, size, sha256 });
    await this.#look();
  }

  /** @param {boolean} keep */
  async #demo(keep) {
    if (keep)
      await keepDemo(this.#getState().demo.catalogue).catch((/** @type {unknown} */ thrown) =>
        this.#send({ type: "notice/raised", title: t("error.demo"), message: asError(thrown).message }),
      );
    else await dropDemo();
    await this.#look();
  }

  /** @param {string} text @param {string} wanted the SHA-256 that it must have, "" for any @param {boolean} [linked] */
  async #download(text, wanted, linked = false) {
    try {
      const { address, name } = fileAddress(text, linked);
      void persistStorage();
      const what = { name, address, wanted: wanted.trim().toLowerCase() };
      await this.#work(await keyOf(address), name, "download", what);
    } catch (thrown) {
      this.#send({ type: "notice/raised", title: t("library.not_begun"), message: asError(thrown).message });
    }
  }

  /** @param {string} key */
  async #goOn(key) {
    const item = this.#getState().library.items.find((item) => item.key === key);
    if (!item) return;
    addressOf(item.address); // it was typed in an earlier visit
    await this.#work(key, item.name, "download", item);
  }

  /** @param {string} key */
  async #open(key) {
    try {
      this.#send({
        type: "files/dropped",
        files: [await (this.#isOwn(key) ? openHandle(key) : openKept(key))],
        folders: [],
        place: "",
      });
    } catch (thrown) {
      this.#send({ type: "notice/raised", title: t("library.not_opened"), message: asError(thrown).message });
    }
  }

  /** @param {string} key */
  async #remove(key) {
    await (this.#isOwn(key) ? forgetHandle(key) : removeKept(key)).catch((thrown) =>
      this.#send({ type: "notice/raised", title: t("library.not_deleted"), message: asError(thrown).message }),
    );
    await this.#look();
  }

  /** @param {string} key */
  #isOwn(key) {
    return this.#getState().library.items.some((item) => item.key === key && item.own);
  }

  async #persist() {
    await persistStorage();
    await this.#look();
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "library/keep":
        return void this.#keep(action.id);
      case "library/download":
        return void this.#download(action.text, action.wanted);
      case "library/resume":
        return void this.#goOn(action.key);
      case "library/stop":
        return this.#jobs.cancelAll(`library:${action.key}`);
      case "library/open":
        return void this.#open(action.key);
      case "library/remove":
        return void this.#remove(action.key);
      case "library/demo":
        return void this.#demo(action.keep);
      case "demo/listed":
      case "demo/ready":
      case "files/read":
        return void this.#look();
      case "library/persist":
        return void this.#persist();
    }
  }
}

/** A folder's name for a file: the same file or address has the same in every tab. @param {string} text */
async function keyOf(text) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
  return Array.from(digest.subarray(0, 12), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
