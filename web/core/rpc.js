/** The bridge between two threads: calls with ids on one side, answers on the other; over a worker or a port. */

import { asError } from "./errors.js";

/** @typedef {{ id: number, call: string, args: any }} Request */

/**
 * From the other side: any number of `progress`, then one `result` or `error` for a call; `crashed`, which belongs to
 * no call and means that the worker is of no more use, as `notLoaded` does: it lacks a part; or `loaded`, once, from a
 * worker whose code is there.
 * @typedef {(
 *   | { id: number, progress: any }
 *   | { id: number, result: any }
 *   | { id: number, error: import("./errors.js").EngineError }
 *   | { crashed: string }
 *   | { notLoaded: string }
 *   | { loaded: true }
 * )} Reply
 */

/**
 * What both a worker and a port can do.
 * @typedef {{ postMessage: (message: any, transfer: Transferable[]) => void, onmessage: any, onmessageerror: any,
 * onerror?: any, terminate?: () => void, close?: () => void }} Channel
 */
/**
 * @typedef {{ resolve: (result: any) => void, reject: (thrown: unknown) => void, onProgress?: (progress: any) => void,
 * hear: () => void }} Waiting
 */

/** Milliseconds within which a worker's code has to be there. */
const LOADING = 60_000;

export class Bridge {
  /** @type {Channel | null} */
  #channel = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #nextId = 1;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #loading;
  /**
   * Calls that are repeated after a crash, one at a time: the one that caused it takes no other with it again.
   * @type {Promise<unknown>}
   */
  #repeats = Promise.resolve();
  /** Calls whose failure is not seen, since they would be repeated. */
  #repeatable = 0;
  #start;
  #options;

  /**
   * @param {() => Channel} start makes a worker or a port with `answer` on its other side; again after a crash
   * @param {{
   *   onCrash?: (message: string, waiting: number) => void, onMissing?: () => void, loading?: number,
   *   says?: { crashed?: (message: string) => string, notLoaded?: (why: string) => string, badReply?: () => string,
   * silent?: () => string },
   * }} [options] `onCrash` hears what the calls that fail with it are told, and how many these are, but for those that
   * are repeated; `onMissing` hears that the code could not be loaded; `loading`: milliseconds until `loaded` has to
   * come, 0 for a port
   */
  constructor(start, options = {}) {
    this.#start = start;
    this.#options = options;
  }

  /**
   * @param {string} call
   * @param {object} args
   * @param {{ onProgress?: (progress: any) => void, transfer?: Transferable[], silence?: number }} [options]
   *   `silence`: milliseconds without an answer or progress after which the call fails with kind "timeout", 0 for no
   * limit
   * @returns {Promise<any>}
   */
  call(call, args, { onProgress, transfer = [], silence = 0 } = {}) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      /** @type {ReturnType<typeof setTimeout> | undefined} */
      let timer;
      const hear = () => {
        clearTimeout(timer);
        if (silence && this.#waiting.has(id)) timer = setTimeout(late, silence);
      };
      const late = () => {
        this.#waiting.delete(id);
        reject({ kind: "timeout", message: this.#options.says?.silent?.() ?? `no answer to ${call}` });
      };
      this.#waiting.set(id, { resolve, reject, onProgress, hear });
      try {
        (this.#channel ??= this.#fresh()).postMessage({ id, call, args }, transfer);
        hear();
      } catch (thrown) {
        this.#waiting.delete(id);
        reject(thrown);
      }
    });
  }

  /** Starts the other side before the first call. */
  warm() {
    this.#channel ??= this.#fresh();
  }

  /**
   * What can be asked twice, asked once more if the worker crashed meanwhile.
   * @template T
   * @param {() => Promise<T>} ask
   * @returns {Promise<T>}
   */
  async repeated(ask) {
    this.#repeatable++;
    try {
      return await ask().finally(() => this.#repeatable--);
    } catch (thrown) {
      if (asError(thrown).kind !== "crashed") throw thrown;
      const again = this.#repeats.then(ask);
      this.#repeats = again.catch(() => {});
      return again;
    }
  }

  /** Ends the worker; calls that wait fail with kind "cancelled". */
  end() {
    this.#close();
    this.#fail({ kind: "cancelled", message: "ended" });
  }

  #fresh() {
    const channel = this.#start();
    channel.onmessage = (/** @type {{ data: Reply }} */ { data }) => this.#receive(channel, data);
    channel.onerror = (/** @type {ErrorEvent} */ event) => {
      event.preventDefault();
      // A script that could not be fetched has no message.
      this.#crash(channel, event.message ? this.#crashed(event.message) : this.#notLoaded());
    };
    channel.onmessageerror = () =>
      this.#crash(channel, this.#crashed(this.#options.says?.badReply?.() ?? "a reply could not be read"));
    const { loading = LOADING } = this.#options;
    if (loading) this.#loading = setTimeout(() => this.#crash(channel, this.#notLoaded()), loading);
    return channel;
  }

  /** @param {string} message */
  #crashed(message) {
    return this.#options.says?.crashed?.(message) ?? message;
  }

  #notLoaded(why = "") {
    this.#options.onMissing?.();
    return this.#options.says?.notLoaded?.(why) ?? "the worker could not be loaded";
  }

  /** @param {Channel} channel @param {Reply} reply */
  #receive(channel, reply) {
    if (channel !== this.#channel) return;
    clearTimeout(this.#loading);
    if ("loaded" in reply) return;
    if ("crashed" in reply) return this.#crash(channel, this.#crashed(reply.crashed));
    if ("notLoaded" in reply) return this.#crash(channel, this.#notLoaded(reply.notLoaded));
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ("progress" in reply) {
      waiting.hear();
      return waiting.onProgress?.(reply.progress);
    }
    this.#waiting.delete(reply.id);
    waiting.hear();
    if ("error" in reply) waiting.reject(asError(reply.error));
    else waiting.resolve(reply.result);
  }

  /** @param {Channel} channel @param {string} message */
  #crash(channel, message) {
    if (channel !== this.#channel) return;
    this.#close();
    this.#options.onCrash?.(message, Math.max(0, this.#waiting.size - this.#repeatable));
    this.#fail({ kind: "crashed", message });
  }

  #close() {
    clearTimeout(this.#loading);
    this.#channel?.terminate?.();
    this.#channel?.close?.();
    this.#channel = null;
  }

  /** @param {import("./errors.js").EngineError} error */
  #fail(error) {
    const failed = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, hear } of failed) {
      hear();
      reject(error);
    }
  }
}

/**
 * Answers the calls that come through a worker's scope or a port.
 * @param {{ postMessage: (message: any, transfer: Transferable[]) => void, onmessage: any }} channel
 * @param {Record<string, (args: any, onProgress: (progress: any) => void) => any>} calls
 * @param {{ transferred?: (result: any) => Transferable[], isCrash?: (thrown: unknown) => boolean }} [options]
 *   `transferred`: what of a result moves instead of being copied; `isCrash`: what thrown values leave the worker
 * unusable
 */
export function answer(channel, calls, { transferred = () => [], isCrash = () => false } = {}) {
  const post = (/** @type {Reply} */ reply, /** @type {Transferable[]} */ transfer = []) =>
    channel.postMessage(reply, transfer);
  channel.onmessage = async (/** @type {{ data: Request }} */ { data: { id, call, args } }) => {
    try {
      const result = await calls[call](args, (progress) => post({ id, progress }));
      post({ id, result }, transferred(result));
    } catch (thrown) {
      const error = asError(thrown);
      if (isCrash(thrown)) post({ crashed: error.message });
      else post({ id, error });
    }
  };
}

/** Tells the page that a worker's code is there. @param {{ postMessage: (message: any) => void }} scope */
export function loaded(scope) {
  scope.postMessage({ loaded: true });
}
