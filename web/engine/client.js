/** What the clients of all workers share: a crashed one is replaced at the next call, and files reach each once. */

import { Bridge } from "../core/rpc.js";
import { t } from "../words.js";

/** @typedef {import("./protocol.js").Place} Place */

/** Of a worker without its code, or with code that does not start. @param {string} why "" if that is not known */
export function notLoaded(why) {
  return why ? t("worker.not_started", { message: why }) : t("worker.not_loaded");
}

export class Client {
  #bridge;
  #connect;

  /** What the present worker was given: files by sha256 and addresses. A fresh one knows nothing. */
  known = new Set();

  /**
   * @param {() => Worker} start makes a worker
   * @param {(message: string) => void} onCrash told of a worker that broke while no call waited: a waiting call is
   * rejected instead
   * @param {(address: string) => MessagePort} connect gives a port through which the bytes at an address are read
   * @param {() => void} [onMissing] told that the worker's code could not be loaded
   */
  constructor(start, onCrash, connect, onMissing) {
    this.#connect = connect;
    this.#bridge = new Bridge(start, {
      onCrash: (message, waiting) => {
        this.forget();
        if (!waiting) onCrash(message);
      },
      onMissing,
      says: {
        crashed: (message) => t("engine.stopped", { message }),
        notLoaded,
        badReply: () => t("engine.bad_reply"),
      },
    });
  }

  /** Starts the worker before the first call. */
  warm() {
    this.#bridge.warm();
  }

  /** Forgets what the last worker was given. */
  forget() {
    this.known.clear();
  }

  /** Ends the worker; calls that wait fail with kind "cancelled". */
  end() {
    this.#bridge.end();
  }

  /** Forgets the ports to web addresses, whose other side is gone. */
  disconnect() {
    for (const each of this.known) if (URL.canParse(each)) this.known.delete(each);
  }

  /**
   * What can be asked twice, asked once more if the worker crashed meanwhile.
   * @template T
   * @param {() => Promise<T>} ask
   * @returns {Promise<T>}
   */
  repeated(ask) {
    return this.#bridge.repeated(ask);
  }

  /** A place whose bytes the present worker can read. @param {Place} place @returns {Promise<Place>} */
  async reached(place) {
    if ("address" in place && !this.known.has(place.address)) {
      const port = this.#connect(place.address);
      this.known.add(place.address);
      await this.call("connect", { address: place.address, port }, undefined, [port]);
    }
    return place;
  }

  /** @param {Place[]} places */
  allReached(places) {
    return Promise.all(places.map((place) => this.reached(place)));
  }

  /**
   * @param {import("./protocol.js").CallName} call
   * @param {object} args
   * @param {(progress: any) => void} [onProgress]
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  call(call, args, onProgress, transfer) {
    return this.#bridge.call(call, args, { onProgress, transfer });
  }
}
