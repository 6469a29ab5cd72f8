/** Calls from the page -> the engine in wasm -> replies. The only file that imports the engine. */

import init, { Engine } from "../../pkg/lora_loupe.js";
import { asError, isCrash } from "./protocol.js";

/** @typedef {import("./types.d.ts").PageProgress} Progress */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

const starting = init().then(
  () => new Engine(),
  (thrown) => {
    const message = `The engine could not be started: ${asError(thrown).message}. Reload the page; a browser older than 2023 may be too old for it.`;
    throw { kind: "engine_start", message };
  },
);
starting.catch(() => {}); // each call reports it

/** @type {Record<import("./protocol.js").CallName, (engine: Engine, args: any, onProgress: (progress: Progress) => void) => any>} */
const calls = {
  inspect: (engine, { file, config }) => engine.inspect(file, config),
  gpu: (engine) => engine.gpu(),
  openModel: (engine, { name, files }) => engine.open_model(name, files),
  openCheckpoint: (engine, { name, file, merges, vae }) => engine.open_checkpoint(name, file, merges, vae),
  generate: (engine, { recipe, start }, onProgress) => engine.generate(recipe, onProgress, start),
  readPng: (engine, { bytes }) => engine.read_png(bytes),
  countTokens: (engine, { prompt, syntax, steps }) => engine.count_tokens(prompt, syntax, steps),
  cancel: (engine) => engine.cancel(),
};

/** @param {import("./protocol.js").Reply} reply @param {Transferable[]} [transfer] */
function post(reply, transfer = []) {
  scope.postMessage(reply, transfer);
}

/** The buffers of a picture move to the page; everything else is copied. @param {any} result */
function transferred(result) {
  return result?.rgba && result?.png ? [result.rgba.buffer, result.png.buffer] : [];
}

scope.onmessage = async ({ data }) => {
  const { id, call, args } = /** @type {import("./protocol.js").Request} */ (data);
  try {
    const engine = await starting;
    const result = await calls[call](engine, args, (progress) => post({ id, progress }));
    post({ id, result }, transferred(result));
  } catch (thrown) {
    if (isCrash(thrown)) post({ crashed: asError(thrown).message });
    else post({ id, error: asError(thrown) });
  }
};

// A panic inside an async engine call reaches no caller: it surfaces here.
scope.addEventListener("error", (event) => post({ crashed: event.message }));
scope.addEventListener("unhandledrejection", (event) => post({ crashed: asError(event.reason).message }));
