/** The form -> two pictures of one recipe, without and with the LoRAs, or a grid of them. Model and LoRAs are brought first; cancel answers at every point. */

import { asError } from "./engine/protocol.js";
import { fetchModel } from "./demo.js";
import { plannedGrid } from "./grid.js";
import { fileOf, folderOf, keptOf } from "./library.js";
import { clipMerges } from "./merges.js";
import { pixelsOf } from "./pictures.js";
import { activeLabels, activeRows, canRedraw, causeOf, modelKey, plainRecipe, sameRecipe, stackedRecipe } from "./recipe.js";
import { entryById, usable } from "./select.js";
import { t } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./engine/types.d.ts").Recipe} Recipe */
/** @typedef {import("./engine/types.d.ts").Picture} Picture */

/** The most steps of a picture that follows a slider. */
const LIVE_STEPS = 8;

/**
 * @param {{
 *   client: import("./engine/client.js").EngineClient,
 *   send: import("./types.d.ts").Send,
 *   getState: () => State,
 *   bringLora: (id: string, select: boolean) => Promise<void>,
 * }} world
 */
export function createRunner({ client, send, getState, bringLora }) {
  /** @type {import("./library.js").ModelFiles | null} */
  let demoFiles = null;
  /** @type {Promise<void> | null} */
  let opening = null;
  /** What the engine said of the model that the worker has. @type {import("./engine/types.d.ts").ModelInfo | null} */
  let opened = null;
  /** Aborted when the run at hand is cancelled. */
  let running = new AbortController();
  let drawing = false;
  /** Ends with the run at hand. @type {Promise<void>} */
  let current = Promise.resolve();
  let redraws = 0;

  /** Hands the chosen model to each worker once; the one chosen meanwhile after it. */
  async function openModel() {
    while (client.model !== modelKey(getState())) {
      if (opening) await opening.catch(() => {}); // whoever asked for it hears of it
      else await (opening = open(modelKey(getState())).finally(() => (opening = null)));
    }
    // It may have been open all the time, while another was tried in vain.
    if (opened && !getState().base.info) send({ type: "model/ready", info: opened });
  }

  /** @param {string} key */
  async function open(key) {
    try {
      opened = await (getState().base.chosen === "demo" ? openDemo(key) : openOwn(key));
      if (key === modelKey(getState())) send({ type: "model/ready", info: opened });
    } catch (thrown) {
      if (key !== modelKey(getState())) return;
      if (key !== "demo") send({ type: "model/failed", error: asError(thrown) });
      throw thrown;
    }
  }

  /** Downloads the demo model once. @param {string} key */
  async function openDemo(key) {
    const { catalogue } = getState().demo;
    if (!catalogue) throw { kind: "download", message: t("error.demo_files") };
    try {
      demoFiles ??= await downloaded(catalogue);
      const info = await client.openModel(key, catalogue.name, demoFiles);
      send({ type: "demo/ready" });
      return info;
    } catch (thrown) {
      send({ type: "demo/failed" });
      throw thrown;
    }
  }

  /** The files of the chosen model: the demo's are downloaded. @returns {Promise<import("./library.js").ModelFiles>} */
  async function modelFiles() {
    const { base, demo } = getState();
    if (base.chosen === "demo" && demo.catalogue) return (demoFiles ??= await downloaded(demo.catalogue));
    const place = keptOf(base.chosen);
    return folderOf(base.chosen) ?? (place ? [{ path: "", ...place }] : []);
  }

  /** @param {import("./types.d.ts").DemoCatalogue} catalogue */
  function downloaded(catalogue) {
    return fetchModel(catalogue, (received, total) => send({ type: "demo/progress", received, total }));
  }

  /** @param {string} key */
  async function openOwn(key) {
    const { chosen, own, vae } = getState().base;
    const name = own.find(({ id }) => id === chosen)?.name ?? "";
    const folder = folderOf(chosen);
    if (folder) return client.openModel(key, name, folder);
    const place = keptOf(chosen);
    if (!place) throw { kind: "no_model", message: t("error.gone", { name }) };
    return client.openCheckpoint(key, name, { place, merges: await clipMerges(), vae: vae ? keptOf(vae.id) : undefined });
  }

  /** The stack as a recipe's lines, each known to the worker. @param {State} state @returns {Promise<Recipe["adapters"]>} */
  async function adapters(state) {
    const choices = [];
    for (const { id, strength, textEncoder, blocks } of activeRows(state)) {
      if (!entryById(getState(), id)) await bringLora(id, false);
      const entry = entryById(getState(), id);
      const kept = keptOf(id);
      if (!kept || !entry?.report || !usable(entry)) {
        throw entry?.error ?? { kind: "unusable", message: t("error.no_lora") };
      }
      const { sha256, hashes } = entry.report;
      if (!client.known.has(sha256)) await client.remember(sha256, kept);
      const rest = { ...(textEncoder !== null && { text_encoder: textEncoder }), ...(blocks && { blocks }), ...(hashes?.auto_v3 && { hash: hashes.auto_v3 }) };
      choices.push({ name: entry.name, sha256, strength, ...rest });
    }
    return choices;
  }

  /** Textual inversions that the recipe calls, each known to the worker. @param {Recipe} recipe */
  async function embeddings({ embeddings = [] }) {
    for (const { sha256 } of embeddings) {
      const entry = getState().files.find(({ report }) => report?.sha256 === sha256);
      const kept = entry && keptOf(entry.id);
      if (kept && !client.known.has(sha256)) await client.remember(sha256, kept);
    }
  }

  /** The pixels to start from, and those of their mask. @param {State} state @param {Recipe} recipe */
  async function startOf({ start, mask }, { width, height }) {
    const pixels = async (/** @type {import("./types.d.ts").Start | null} */ picture) => {
      const file = picture && fileOf(picture.id);
      return file ? await pixelsOf(file, width, height) : undefined;
    };
    return { start: await pixels(start), mask: await pixels(start && mask) };
  }

  /** @param {Recipe} recipe @param {{ start?: Uint8Array, mask?: Uint8Array }} start @param {number} picture @returns {Promise<Picture>} */
  async function draw(recipe, start, picture) {
    running.signal.throwIfAborted();
    send({ type: "run/picture", picture });
    drawing = true;
    try {
      return await client.generate(recipe, { ...start, preview: getState().form.preview }, (progress) => send({ type: "run/progress", progress }));
    } finally {
      drawing = false;
    }
  }

  /** Everything that the pictures need, brought. @param {AbortSignal} signal */
  async function prepare(signal) {
    await until(signal, openModel());
    const state = getState();
    const [plain, cause, loras] = [plainRecipe(state), causeOf(state), activeLabels(state)];
    const recipe = stackedRecipe(state, plain, await until(signal, adapters(state)));
    await until(signal, embeddings(plain));
    const start = await startOf(state, plain);
    return { plain, recipe, cause, loras, start };
  }

  /** Both pictures; the one without LoRAs is drawn anew only when its recipe is new. @param {AbortSignal} signal */
  async function drawBoth(signal) {
    const { result: last } = getState();
    const { plain, recipe, cause, loras, start } = await prepare(signal);
    const reused = last && last.cause === cause && sameRecipe(last.plain, plain) ? last.without : null;
    if (reused) send({ type: "run/started", pictures: 1 });
    const result = { plain, recipe, cause, loras, preview: false };
    const without = reused ?? (await draw(plain, start, 1));
    const stacked = !sameRecipe(plain, recipe);
    if (!reused || !stacked) send({ type: "run/result", result: { ...result, without, with: null } });
    if (stacked) {
      const picture = await draw(recipe, start, reused ? 1 : 2);
      send({ type: "run/result", result: { ...result, without, with: picture } });
    }
  }

  /** The picture with the LoRAs alone, in few steps. @param {AbortSignal} signal */
  async function drawQuickly(signal) {
    const { result: last } = getState();
    const { recipe, start, ...rest } = await prepare(signal);
    if (!last) return;
    const steps = Math.min(recipe.steps, LIVE_STEPS);
    const result = { ...last, ...rest, recipe: { ...recipe, steps }, preview: steps < recipe.steps };
    const picture = !sameRecipe(rest.plain, recipe) ? await draw(result.recipe, start, 1) : null;
    send({ type: "run/result", result: { ...result, with: picture } });
  }

  /** All pictures of the grid, row by row; those that are finished stay when it is stopped. @param {AbortSignal} signal */
  async function drawGrid(signal) {
    await until(signal, openModel());
    const state = getState();
    const { grid, forms } = plannedGrid(state);
    send({ type: "run/started", pictures: forms.length, grid: true });
    send({ type: "grid/started", grid });
    for (const [at, form] of forms.entries()) {
      const asked = { ...state, form };
      const plain = plainRecipe(asked);
      const recipe = stackedRecipe(asked, plain, await until(signal, adapters(asked)));
      await until(signal, embeddings(plain));
      const picture = await draw(recipe, await startOf(state, plain), at + 1);
      send({ type: "grid/drawn", at, cell: { picture, recipe, loras: activeLabels(asked) } });
    }
  }

  /** @param {{ pictures: number, live?: boolean, grid?: boolean }} what @param {(signal: AbortSignal) => Promise<void>} make */
  async function run(what, make) {
    running = new AbortController();
    const { signal } = running;
    send({ type: "run/started", ...what });
    try {
      await make(signal);
      send({ type: "run/done" });
    } catch (thrown) {
      const error = asError(thrown);
      if (signal.aborted && error.kind !== "crashed") send({ type: "run/cancelled" });
      else send({ type: "run/failed", error });
    }
  }

  /** What was asked for goes before a picture that follows a slider. @param {Parameters<typeof run>} work */
  async function start(...work) {
    const { run: now, gpu } = getState();
    if ((now.status !== "idle" && !now.live) || gpu.status !== "ready") return;
    redraws++;
    if (now.live) cancel();
    await current;
    await (current = run(...work));
  }

  const generate = () => start({ pictures: activeRows(getState()).length ? 2 : 1 }, drawBoth);
  const generateGrid = () => start({ pictures: plannedGrid(getState()).forms.length, grid: true }, drawGrid);

  /** The last wish wins: what is being drawn is stopped, and wishes in between are passed over. */
  async function redraw() {
    const wish = ++redraws;
    cancel();
    await current;
    if (wish === redraws && canRedraw(getState())) await (current = run({ pictures: 1, live: true }, drawQuickly));
  }

  /** A run that is still loading stops at once, a drawing one within a step. */
  function cancel() {
    running.abort();
    if (drawing) client.cancel().catch(() => {}); // a broken worker has stopped as well
  }

  return { openModel, modelFiles, generate, generateGrid, redraw, cancel };
}

/** @template T @param {AbortSignal} signal @param {Promise<T>} promise @returns {Promise<T>} */
function until(signal, promise) {
  const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
  return Promise.race([promise, /** @type {Promise<never>} */ (aborted)]);
}
