/** The worker that generates images. The only file that imports the engine. */

import init, { Engine } from "../../pkg/engine.js";
import { compileInBackground } from "./pipelines.js";
import { found, serve } from "./serve.js";
import { askForSubgroups } from "./subgroups.js";
import { load, save } from "./tuned.js";

/** @typedef {import("./types.d.ts").PageProgress} Progress */

askForSubgroups();
compileInBackground();

/** @typedef {(engine: Engine, args: any, onProgress: (progress: Progress) => void) => any} Call */

/** @type {Record<import("./protocol.js").EngineCall, Call>} */
const calls = {
  remember: (engine, { sha256, place }) => engine.remember(sha256, found(place)),
  openModel: async (engine, { on, name, files }) => {
    await choose(engine, on);
    return engine.open_model(name, files.map(found));
  },
  openCheckpoint: async (engine, { on, name, places, merges }) => {
    await choose(engine, on);
    return engine.open_checkpoint(name, places.map(found), merges);
  },
  estimate: (engine, { recipe }) => engine.estimate(recipe),
  generate: drawn,
  enlarge: (engine, { recipe, sha256, rgba, width }, onProgress) =>
    engine.enlarge(recipe, sha256, rgba, width, onProgress),
  findTriggers: (engine, { sha256, hints, top }, onProgress) => engine.find_triggers(sha256, hints, top, onProgress),
  cancel: (engine) => engine.cancel(),
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

/** @param {Engine} engine @param {import("./protocol.js").ModelPlace} on */
async function choose(engine, { device, weights, memory }) {
  engine.choose_weights(weights, memory);
  await engine.choose_device(device);
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
