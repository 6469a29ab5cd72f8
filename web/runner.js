/** The form -> two pictures of one recipe, without and with the LoRA. Model and LoRA are brought first; cancel answers at every point. */

import { asError } from "./engine/protocol.js";
import { fetchModel } from "./demo.js";
import { keptOf } from "./library.js";
import { chosenLora, entryById, usable } from "./select.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./engine/types.d.ts").Recipe} Recipe */
/** @typedef {import("./engine/types.d.ts").Picture} Picture */

/**
 * @param {{
 *   client: import("./engine/client.js").EngineClient,
 *   send: import("./types.d.ts").Send,
 *   getState: () => State,
 *   bringLora: (id: string, select: boolean) => Promise<void>,
 * }} world
 */
export function createRunner({ client, send, getState, bringLora }) {
  /** @type {{ path: string, file: Blob }[] | null} */
  let modelFiles = null;
  /** @type {Promise<void> | null} */
  let opening = null;
  /** Aborted when the run at hand is cancelled. */
  let running = new AbortController();
  let drawing = false;

  /** Downloads the demo model once, and hands it to each worker once. */
  async function openModel() {
    if (client.hasModel) return;
    await (opening ??= open().finally(() => (opening = null)));
  }

  async function open() {
    const { catalogue } = getState().demo;
    if (!catalogue) throw { kind: "download", message: "The list of the demo's files is not loaded. Reload the page and try again." };
    try {
      modelFiles ??= await fetchModel(catalogue, (received, total) => send({ type: "demo/progress", received, total }));
      send({ type: "demo/ready", model: await client.openModel(catalogue.name, modelFiles) });
    } catch (thrown) {
      send({ type: "demo/failed" });
      throw thrown;
    }
  }

  /** The chosen LoRA as a recipe's line, known to the worker; none when none is chosen. */
  async function adapters() {
    const { lora, strength } = getState().form;
    if (!lora) return [];
    if (!entryById(getState(), lora)) await bringLora(lora, false);
    const entry = entryById(getState(), lora);
    const kept = keptOf(lora);
    if (!kept || !entry?.report || !usable(entry)) {
      throw entry?.error ?? { kind: "unusable", message: "The chosen file cannot be used as a LoRA. Choose another." };
    }
    const { sha256 } = entry.report;
    if (!client.known.has(sha256)) await client.inspect(kept.file, kept.config);
    return [{ name: entry.name, sha256, strength }];
  }

  /** @param {Recipe} recipe @param {number} picture @returns {Promise<Picture>} */
  async function draw(recipe, picture) {
    running.signal.throwIfAborted();
    send({ type: "run/picture", picture });
    drawing = true;
    try {
      return await client.generate(recipe, (progress) => send({ type: "run/progress", progress }));
    } finally {
      drawing = false;
    }
  }

  async function generate() {
    const { run, gpu, form, result: last } = getState();
    if (run.status !== "idle" || gpu.status !== "ready") return;
    running = new AbortController();
    const { signal } = running;
    const lora = chosenLora(getState());
    send({ type: "run/started", pictures: lora ? 2 : 1 });
    try {
      await until(signal, openModel());
      const plain = plainRecipe(getState(), form);
      const recipe = { ...plain, adapters: await until(signal, adapters()) };
      const reused = last && sameButAdapters(last.recipe, recipe) ? last.without : null;
      if (reused) send({ type: "run/started", pictures: 1 });

      const without = reused ?? (await draw(plain, 1));
      if (!reused || !lora) send({ type: "run/result", result: { recipe, lora, without, with: null } });
      if (recipe.adapters.length) {
        const picture = await draw(recipe, reused ? 1 : 2);
        send({ type: "run/result", result: { recipe, lora, without, with: picture } });
      }
      send({ type: "run/done" });
    } catch (thrown) {
      const error = asError(thrown);
      if (signal.aborted && error.kind !== "crashed") send({ type: "run/cancelled" });
      else send({ type: "run/failed", error });
    }
  }

  /** A run that is still loading stops at once, a drawing one within a step. */
  function cancel() {
    running.abort();
    if (drawing) client.cancel().catch(() => {}); // a broken worker has stopped as well
  }

  return { openModel, generate, cancel };
}

/** @template T @param {AbortSignal} signal @param {Promise<T>} promise @returns {Promise<T>} */
function until(signal, promise) {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  return Promise.race([promise, /** @type {Promise<never>} */ (aborted)]);
}

/** @param {State} state @param {State["form"]} form @returns {Recipe} */
function plainRecipe({ demo }, { prompt, negative, seed, steps, guidance, sampler }) {
  const { model, catalogue } = demo;
  if (!model || !catalogue) throw { kind: "no_model", message: "The demo model is not open. Press Generate again." };
  const { width, height } = catalogue.defaults;
  return { version: 1, model: model.name, adapters: [], prompt, negative, seed, steps, guidance, sampler, width, height };
}

/** @param {Recipe} a @param {Recipe} b */
function sameButAdapters(a, b) {
  return JSON.stringify({ ...a, adapters: [] }) === JSON.stringify({ ...b, adapters: [] });
}
