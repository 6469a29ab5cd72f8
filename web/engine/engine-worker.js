/** The worker that generates images. The only file that imports the engine. */

import init, { Engine } from "../../pkg/engine.js";
import { compileInBackground } from "./pipelines.js";
import { Second } from "./second.js";
import { found, serve } from "./serve.js";
import { askForSubgroups } from "./subgroups.js";
import { load, save } from "./tuned.js";

/** @typedef {import("./types.d.ts").PageProgress} Progress */

askForSubgroups();
compileInBackground();

/** The second worker of the open model. */
let second = new Second();

/** @typedef {(engine: Engine, args: any, onProgress: (progress: Progress) => void) => any} Call */

/** @type {Record<import("./protocol.js").EngineCall, Call>} */
const calls = {
  remember: (engine, { sha256, place }) => {
    second.remember(sha256, place);
    return engine.remember(sha256, found(place));
  },
  openModel: (engine, args) =>
    opened(engine, { call: "openModel", args, places: args.files }, () =>
      engine.open_model(args.name, args.files.map(found)),
    ),
  openCheckpoint: (engine, args) =>
    opened(engine, { call: "openCheckpoint", args, places: args.places }, () =>
      engine.open_checkpoint(args.name, args.places.map(found), args.merges),
    ),
  computeHalf: (engine, { half }) => inTurn(() => engine.compute_half(half)),
  estimate: (engine, { recipe }) => engine.estimate(recipe),
  generate: drawn,
  enlarge: (engine, { recipe, sha256, rgba, width }, onProgress) =>
    engine.enlarge(recipe, sha256, rgba, width, onProgress),
  findTriggers: (engine, { sha256, hints, top }, onProgress) => engine.find_triggers(sha256, hints, top, onProgress),
  cancel: (engine) => {
    engine.cancel();
    second.cancel();
  },
  skipTuning: (engine) => engine.skip_tuning(),
  countTokens: (engine, { prompt, program, steps }) => engine.count_tokens(prompt, program, steps),
  styleNames: (engine, { csv }) => engine.style_names(csv),
  applyStyles: (engine, { prompt, negative, csv, chosen }) => engine.apply_styles(prompt, negative, csv, chosen),
  fillTemplate: (engine, { template, seed, names, texts }) => engine.fill_template(template, seed, names, texts),
  readImage: (engine, { name, bytes }) => engine.read_image(name, bytes),
  gpu: (engine) => engine.gpu(),
  benchNames: (engine, { full }) => engine.bench_names(full, false),
  benchRoof: (engine) => engine.bench_roof(),
  benchCase: async (engine, { full, name }) => (await engine.bench_case(full, name, false, false)).row,
};

/**
 * Opens a model where its call says, and with it that of the second worker, if there is room for one.
 * @param {Engine} engine
 * @param {{ call: string, args: { on: import("./protocol.js").ModelPlace }, places: any[] }} asked
 * @param {() => Promise<import("./types.d.ts").ModelInfo>} open
 */
function opened(engine, { call, args, places }, open) {
  const { device, weights, memory } = args.on;
  // A second worker would download a model at an address once more.
  const memoryOfTwo = places.some((place) => "address" in place) ? undefined : args.on.memoryOfTwo;
  return inTurn(async () => {
    const next = new Second();
    engine.use_partner((/** @type {unknown} */ half) => next.ask(half));
    engine.choose_weights(weights, memory, memoryOfTwo);
    await engine.choose_device(device);
    const model = await open();
    second.end();
    second = next;
    next.model = { call, args: { ...args, on: { device, weights: model.storage.weights } }, places };
    return model;
  });
}

/** The last call that waits for those before it. @type {Promise<unknown>} */
let last = Promise.resolve();

/** @template T @param {() => Promise<T>} work @returns {Promise<T>} */
function inTurn(work) {
  const done = last.then(work);
  last = done.catch(() => {});
  return done;
}

/** What was last kept of the graphics card; null until it was looked for. @type {string | null} */
let tuned = null;

/** @param {Engine} engine @param {any} args @param {(progress: any) => void} onProgress */
async function drawn(engine, { recipe, start, mask, startWidth, preview }, onProgress) {
  if (tuned === null) {
    tuned = await load();
    if (tuned) engine.use_tuning(tuned);
  }
  try {
    return await engine.generate(recipe, onProgress, start, mask, preview, startWidth);
  } finally {
    const now = engine.tuning();
    if (now && now !== tuned) await save((tuned = now));
  }
}

serve(async () => {
  await init();
  return new Engine();
}, calls);
