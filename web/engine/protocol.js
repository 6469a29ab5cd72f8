/** The worker boundary as data: what goes in, what comes out, and how a thrown value becomes an error. */

/** @typedef {import("./types.d.ts").EngineError} EngineError */

/**
 * To the worker: one call.
 * @typedef {{ id: number, call: CallName, args: any }} Request
 */

/** @typedef {"connect" | "header" | "measure" | "inspect" | "remember" | "stopReading" | "summarize" | "explainLog" | "weigh" | "stopWeighing" | "spectrum" | "compare" | "previewEdit" | "applyEdit" | "stopEdit" | "gpu" | "openModel" | "openCheckpoint" | "generate" | "skipTuning" | "benchNames" | "benchRoof" | "benchCase" | "readImage" | "countTokens" | "cancel"} CallName */

/**
 * A file as calls speak of it: itself, or the address that `connect` gave a port for. `config` is the text of the
 * adapter_config.json beside it.
 * @typedef {{ file: File, config?: string } | { address: string, name: string, size: number, config?: string }} Place
 */

/**
 * From the worker: any number of `progress`, then one `result` or `error` for a call;
 * or `crashed`, which belongs to no call and means that the worker is of no more use.
 * @typedef {(
 *   | { id: number, progress: import("./types.d.ts").PageProgress }
 *   | { id: number, result: any }
 *   | { id: number, error: EngineError }
 *   | { crashed: string }
 * )} Reply
 */

/**
 * Any thrown value as an error with a kind and a message.
 * @param {unknown} thrown
 * @returns {EngineError}
 */
export function asError(thrown) {
  if (thrown instanceof Error) return { kind: thrown.name, message: thrown.message };
  if (thrown && typeof thrown === "object" && "message" in thrown) {
    const { kind, message } = /** @type {any} */ (thrown);
    return { kind: String(kind ?? "unknown"), message: String(message) };
  }
  return { kind: "unknown", message: String(thrown) };
}

/**
 * Whether the engine's code itself broke: its memory can no longer be trusted.
 * @param {unknown} thrown
 */
export function isCrash(thrown) {
  return thrown instanceof WebAssembly.RuntimeError;
}
