/** Half of each guided call on a second worker of the same code, which the engine's worker starts for a processor. */

import { Bridge, answer } from "../core/rpc.js";
import { readerAt } from "./serve.js";

/** @typedef {import("./protocol.js").Place} Place */

/** This worker's own script, as the page's policy wants it (Trusted Types); not yet in TypeScript's library. */
const ownScript = () => {
  const policy = /** @type {any} */ (globalThis).trustedTypes?.createPolicy("loupe", {
    createScriptURL: (/** @type {string} */ address) => address,
  });
  return policy?.createScriptURL(self.location.href) ?? self.location.href;
};

/** Files by their hash, as the engine's worker knows them. @type {Map<string, Place>} */
const files = new Map();

/** The script, once it is needed. @type {any} */
let script;

/** The second worker for one open model: it starts with the first half that it is asked for. */
export class Second {
  /** @type {Bridge | null} */
  #bridge = null;
  #hasEnded = false;

  /** How the model is opened. @type {{ call: string, args: any, places: Place[] } | null} */
  model = null;

  /** @param {string} sha256 @param {Place} place */
  remember(sha256, place) {
    files.set(sha256, place);
    if (this.#bridge) this.#tell(this.#bridge, "remember", { sha256, place }, [place]);
  }

  /**
   * The predictions of a half.
   * @param {unknown} half
   * @returns {Promise<Float32Array>}
   */
  async ask(half) {
    const ended = { kind: "ended", message: "another model was opened" };
    if (this.#hasEnded) throw ended;
    try {
      return await (this.#bridge ??= this.#start()).call("computeHalf", { half });
    } catch (thrown) {
      throw this.#hasEnded ? ended : thrown;
    }
  }

  /** Stops the half that is being computed. */
  cancel() {
    if (this.#bridge) this.#tell(this.#bridge, "cancel", {});
  }

  /** Frees its memory; the image that is being computed goes on without it. */
  end() {
    this.#hasEnded = true;
    this.#bridge?.end();
  }

  #start() {
    script ??= ownScript();
    const bridge = new Bridge(() => new Worker(script, { type: "module", name: "second" }));
    for (const [sha256, place] of files) this.#tell(bridge, "remember", { sha256, place }, [place]);
    if (this.model) this.#tell(bridge, this.model.call, this.model.args, this.model.places);
    return bridge;
  }

  /**
   * A call whose failure shows in the half that comes after it; the bytes at addresses come through this worker.
   * @param {Bridge} bridge
   * @param {string} call
   * @param {object} args
   * @param {Place[]} [places] that the call names
   */
  #tell(bridge, call, args, places = []) {
    for (const place of places) {
      if (!("address" in place)) continue;
      const { port1, port2 } = new MessageChannel();
      answer(port1, { read: ({ start, end }) => readerAt(place.address)?.(start, end) });
      const { address } = place;
      bridge.call("connect", { address, port: port2 }, { transfer: [port2] }).catch(() => {});
    }
    bridge.call(call, args).catch(() => {});
  }
}
