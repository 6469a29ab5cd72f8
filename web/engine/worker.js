/** Calls from the page -> the engine in wasm -> replies. The only file that imports the engine. */

import init, { Engine } from "../../pkg/lora_loupe.js";
import { asError } from "../core/errors.js";
import { answer, loaded } from "../core/rpc.js";
import { readerOf } from "./reader.js";
import { openSink } from "./sink.js";
import { askForSubgroups } from "./subgroups.js";
import { load, save } from "./tuned.js";

/** @typedef {import("./types.d.ts").PageProgress} Progress */

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

askForSubgroups();

const starting = init().then(
  () => new Engine(),
  (thrown) => {
    const message = `The engine could not be started: ${asError(thrown).message}. Reload the page; a browser older than 2023 may be too old for it.`;
    throw { kind: "engine_start", message };
  },
);
starting.catch(() => {}); // each call reports it

/** Addresses -> what reads their bytes. @type {Map<string, import("./reader.js").Reader>} */
const readers = new Map();

/** A place as the engine takes it. @param {import("./protocol.js").Place} place */
function found(place) {
  return "address" in place ? { ...place, read: readers.get(place.address) } : place;
}

/** @type {Record<import("./protocol.js").CallName, (engine: Engine, args: any, onProgress: (progress: Progress) => void) => any>} */
const calls = {
  connect: (_engine, { address, port }) => void readers.set(address, readerOf(port)),
  header: (engine, { place }) => engine.inspect_header(found(place)),
  measure: (engine, { place, part, parts }, onProgress) => engine.measure(found(place), part, parts, onProgress),
  inspect: (engine, { place, known }, onProgress) => engine.inspect(found(place), onProgress, known),
  remember: (engine, { sha256, place }) => engine.remember(sha256, found(place)),
  stopReading: (engine) => engine.stop_reading(),
  summarize: (engine, { place }) => engine.summarize(found(place)),
  explainLog: (engine, { place, line }) => engine.explain_log(found(place), line),
  weigh: (engine, { place, base, measures }, onProgress) => engine.weigh(found(place), base.map(found), measures, onProgress),
  stopWeighing: (engine) => engine.stop_weighing(),
  spectrum: (engine, { place, path }) => engine.spectrum(found(place), path),
  compare: (engine, { a, b }) => engine.compare(found(a), found(b)),
  previewEdit: (engine, { edit, places }, onProgress) => engine.preview_edit(edit, places.map(found), onProgress),
  applyEdit: written,
  stopEdit: (engine) => engine.stop_edit(),
  gpu: (engine) => engine.gpu(),
  openModel: (engine, { name, files }) => engine.open_model(name, files.map(found)),
  openCheckpoint: (engine, { name, place, merges, vae }) => engine.open_checkpoint(name, found(place), merges, vae && found(vae)),
  generate: drawn,
  benchNames: (engine, { full }) => engine.bench_names(full),
  benchRoof: (engine) => engine.bench_roof(),
  benchCase: async (engine, { full, name }) => (await engine.bench_case(full, name, false)).row,
  skipTuning: (engine) => engine.skip_tuning(),
  readImage: (engine, { name, bytes }) => engine.read_image(name, bytes),
  countTokens: (engine, { prompt, program, steps }) => engine.count_tokens(prompt, program, steps),
  styleNames: (engine, { csv }) => engine.style_names(csv),
  applyStyles: (engine, { prompt, negative, csv, chosen }) => engine.apply_styles(prompt, negative, csv, chosen),
  fillTemplate: (engine, { template, seed, names, texts }) => engine.fill_template(template, seed, names, texts),
  cancel: (engine) => engine.cancel(),
};

/** What was last kept of the graphics card; null until it was looked for. @type {string | null} */
let tuned = null;

/** @param {Engine} engine @param {any} args @param {(progress: any) => void} onProgress */
async function drawn(engine, { recipe, start, mask, preview }, onProgress) {
  if (tuned === null) {
    tuned = await load();
    if (tuned) engine.use_tuning(tuned);
  }
  try {
    return await engine.generate(recipe, onProgress, start, mask, preview);
  } finally {
    const now = engine.tuning();
    if (now && now !== tuned) await save((tuned = now));
  }
}

/** @param {Engine} engine @param {any} args @param {(progress: any) => void} onProgress */
async function written(engine, { edit, places, name, session }, onProgress) {
  const sink = await openSink(name, session);
  try {
    const edited = await engine.apply_edit(edit, places.map(found), sink.append, sink.begin, onProgress);
    return { edited, file: await sink.finish() };
  } catch (thrown) {
    await sink.drop();
    throw thrown;
  }
}

/** The buffers of an image move to the page; everything else is copied. @param {any} result */
function transferred(result) {
  return result?.rgba && result?.png ? [result.rgba.buffer, result.png.buffer] : [];
}

/** Whether the engine's code itself broke: its memory can no longer be trusted. @param {unknown} thrown */
function isCrash(thrown) {
  return thrown instanceof WebAssembly.RuntimeError;
}

const answers = Object.entries(calls).map(([name, call]) => [name, async (/** @type {any} */ args, /** @type {any} */ onProgress) => call(await starting, args, onProgress)]);
answer(scope, Object.fromEntries(answers), { transferred, isCrash });
loaded(scope);

// A panic inside an async engine call reaches no caller: it surfaces here.
scope.addEventListener("error", (event) => scope.postMessage({ crashed: event.message }));
scope.addEventListener("unhandledrejection", (event) => scope.postMessage({ crashed: asError(event.reason).message }));
