/** Thrown values as errors with a kind and a message, and the error of cancelled work. */

/** @typedef {import("../engine/types.d.ts").EngineError} EngineError */

/**
 * Any thrown value as an error with a kind and a message.
 * @param {unknown} thrown
 * @returns {EngineError}
 */
export function asError(thrown) {
  if (thrown && typeof thrown === "object" && "message" in thrown) {
    const { kind, name, message, sentence } = /** @type {any} */ (thrown);
    const named = String(kind ?? (thrown instanceof Error ? name : "unknown"));
    return { kind: named, message: String(message), ...(sentence && { sentence }) };
  }
  return { kind: "unknown", message: String(thrown) };
}

/** The error of work that the user cancelled. @returns {EngineError} */
export function cancelled() {
  return { kind: "cancelled", message: "cancelled" };
}

/** @param {unknown} thrown */
export function isCancelled(thrown) {
  return asError(thrown).kind === "cancelled";
}

/**
 * The promise's result, or a rejection with the signal's reason as soon as it is aborted.
 * @template T
 * @param {AbortSignal} signal
 * @param {Promise<T>} promise
 * @returns {Promise<T>}
 */
export function orAbort(signal, promise) {
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    signal.addEventListener("abort", stop, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
