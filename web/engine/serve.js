/** Calls from the page -> a module of WebAssembly in this worker -> replies. */

import { asError } from "../core/errors.js";
import { answer, loaded } from "../core/rpc.js";
import { readerOf } from "./reader.js";

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** Addresses -> what reads their bytes. @type {Map<string, import("./reader.js").Reader>} */
const readers = new Map();

/** What reads the bytes at an address. @param {string} address */
export const readerAt = (address) => readers.get(address);

/** A place as the modules take it. @param {import("./protocol.js").Place} place */
export function found(place) {
  return "address" in place ? { ...place, read: readers.get(place.address) } : place;
}

/**
 * Answers calls once the module is there; a worker without one is of no use.
 * @template Module
 * @param {() => Promise<Module>} start
 * @param {Record<string, (module: Module, args: any, onProgress: (progress: any) => void) => any>} calls
 */
export function serve(start, calls) {
  const starting = start();
  starting.catch((thrown) => scope.postMessage({ notLoaded: asError(thrown).message }));
  const answers = Object.entries(calls).map(([name, call]) => [
    name,
    async (/** @type {any} */ args, /** @type {any} */ onProgress) => call(await starting, args, onProgress),
  ]);
  const connect = (/** @type {any} */ { address, port }) => void readers.set(address, readerOf(port));
  answer(scope, { ...Object.fromEntries(answers), connect }, { transferred, isCrash });
  loaded(scope);
  // A panic inside an async call reaches no caller: it surfaces here.
  scope.addEventListener("error", (event) => scope.postMessage({ crashed: event.message }));
  scope.addEventListener("unhandledrejection", (event) =>
    scope.postMessage({ crashed: asError(event.reason).message }),
  );
}

/** The buffers of an image move to the page; everything else is copied. @param {any} result */
function transferred(result) {
  return result?.rgba && result?.png ? [result.rgba.buffer, result.png.buffer] : [];
}

/** Whether the module's code itself broke: its memory can no longer be trusted. @param {unknown} thrown */
function isCrash(thrown) {
  return thrown instanceof WebAssembly.RuntimeError;
}
