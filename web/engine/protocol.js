/** The names of the engine's calls, and a file as they speak of it. core/rpc.js has the messages. */

/** @typedef {"connect" | "header" | "measure" | "inspect" | "remember" | "stopReading" | "summarize" | "explainLog" | "weigh" | "stopWeighing" | "spectrum" | "compare" | "previewEdit" | "applyEdit" | "stopEdit" | "gpu" | "openModel" | "openCheckpoint" | "generate" | "skipTuning" | "benchNames" | "benchRoof" | "benchCase" | "readImage" | "countTokens" | "styleNames" | "applyStyles" | "fillTemplate" | "cancel"} CallName */

/**
 * A file as calls speak of it: itself, or the address that `connect` gave a port for. `config` is the text of the
 * adapter_config.json beside it.
 * @typedef {{ file: File, config?: string } | { address: string, name: string, size: number, config?: string }} Place
 */

export {};
