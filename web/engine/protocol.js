/** The names of the workers' calls, and a file as they speak of it. core/rpc.js has the messages. */

/**
 * @typedef {"header" | "measure" | "inspect" | "stopReading" | "summarize" | "explainLog" | "spectrum" | "weigh" |
 * "stopWeighing" | "compare" | "previewEdit" | "applyEdit" | "stopEdit" | "findSeries" | "measureSeries" |
 * "summarizeSeries"} InspectorCall
 */

/**
 * @typedef {"remember" | "openModel" | "openCheckpoint" | "computeHalf" | "estimate" | "generate" | "enlarge" |
 * "findTriggers" | "cancel" | "skipTuning" | "countTokens" | "styleNames" | "applyStyles" |
 * "fillTemplate" | "readImage" | "gpu" | "benchNames" | "benchRoof" | "benchCase"} EngineCall
 */

/** Every worker's. @typedef {InspectorCall | EngineCall | "connect"} CallName */

/**
 * A file as calls speak of it: itself, or the address that `connect` gave a port for. `config` is the text of the
 * adapter_config.json beside it.
 * @typedef {{ file: File, config?: string } | { address: string, name: string, size: number, config?: string }} Place
 */

/**
 * Where a model is opened, and how its weights are stored: `auto` chooses by the bytes that the device is likely to
 * have. On a processor, a second worker computes half of each guided call if both fit `memoryOfTwo` bytes.
 * @typedef {{
 *   device: "gpu" | "cpu", weights: import("./types.d.ts").WeightChoice, memory?: number, memoryOfTwo?: number,
 * }} ModelPlace
 */

/**
 * What a person chooses: `auto` is the graphics card, if there is one, else the processor.
 * @typedef {"auto" | "gpu" | "cpu"} DeviceChoice
 */

export {};
