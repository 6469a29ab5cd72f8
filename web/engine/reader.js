/** A port to remote-worker.js -> a function that promises bytes of the file at its other end. */

import { Bridge } from "../core/rpc.js";

/** @typedef {(start: number, end: number) => Promise<Uint8Array>} Reader */

/** Milliseconds without a byte; remote-worker.js gives up sooner, if it is still there. */
const SILENCE = 120_000;

/** @param {MessagePort} port @returns {Reader} */
export function readerOf(port) {
  const bridge = new Bridge(() => port, {
    loading: 0,
    says: { silent: () => "The worker that reads web addresses does not answer." },
  });
  return (start, end) => bridge.call("read", { start, end }, { silence: SILENCE });
}
