/** The form -> two images of each seed, without and with the LoRAs, or a grid of them. Model and LoRAs are brought first; cancel answers at every point. */

import { asError, isCancelled, orAbort } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { fetchModel } from "../demo/files.js";
import { plannedGrid } from "../grid.js";
import { fileOf, folderOf, keptOf } from "../files/opened.js";
import { clipMerges } from "./merges.js";
import { pixelsOf } from "../images.js";
import { laterSeed } from "../form.js";
import { activeLabels, activeRows, canRedraw, causeOf, modelKey, plainRecipe, sameRecipe, seeded, stackedRecipe } from "../recipe.js";
import { entryById, overallProgress, usable } from "../select.js";
import { fillers } from "../templates/lazy.js";
import { t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../engine/types.d.ts").Recipe} Recipe */
/** @typedef {import("../engine/types.d.ts").GeneratedImage} GeneratedImage */

/** The most steps of an image that follows a slider. */
const LIVE_STEPS = 8;

/** As large as the web UIs draw it. */
const randomSeed = () => Math.floor(Math.random() * 2 ** 32);

/** What the images of a run are made of; `tell` says of the run itself. @typedef {{ signal: AbortSignal, progress: (done: number) => void, tell: (action: RunFact) => void }} Making */
/** A fact of the run of a job, but for the job. @typedef {{ type: "run/image", image: number } | { type: "run/progress", progress: import("../engine/types.d.ts").PageProgress } | { type: "run/result", result: import("../types.d.ts").Result } | RunStart} RunFact */
/** @typedef {{ type: "run/started", images: number, live?: boolean, grid?: boolean }} RunStart */

/**
 * @param {{
 *   client: import("../engine/client.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
 *   send: import("../types.d.ts").Send,
 *   getState: () => State,
 *   bringLora: (id: string, select: boolean) => Promise<void>, read: (ids: string[]) => Promise<void>,
 * }} world
 */
export function createRunner({ client, jobs, send, getState, bringLora, read }) {
  /** @type {Promise<import("../files/opened.js").ModelFiles> | null} */
  let demoFiles = null;
  /** Goes on when the run that needs it is cancelled. @type {Promise<void> | null} */
  let opening = null;
  /** What the engine said of the model that the worker has. @type {import("../engine/types.d.ts").ModelInfo | null} */
  let opened = null;

  /** Hands the chosen model to each worker once; the one chosen meanwhile after it. */
  async function openModel() {
    while (client.model !== modelKey(getState())) {
      if (opening) await opening.catch(() => {}); // whoever asked for it hears of it
      else await (opening = open(modelKey(getState())).finally(() => (opening = null)));
    }
    // It may have been open all the time, while another was tried in vain.
    if (opened && !getState().base.info) send({ type: "model/ready", info: opened });
  }

  /** Opens the chosen model ahead of the first image. */
  async function openAhead() {
    const job = jobs.start({ lane: "gpu", kind: "open", priority: 1, run: openModel });
    await job?.done;
  }

  /** @param {string} key */
  async function open(key) {
    try {
      opened = await (getState().base.chosen === "demo" ? openDemo(key) : openOwn(key));
      if (key === modelKey(getState())) send({ type: "model/ready", info: opened });
    } catch (thrown) {
      if (key !== modelKey(getState())) return;
      // After a crash the model is opened again with the next image: it may not be to blame.
      if (key !== "demo" && asError(thrown).kind !== "crashed") send({ type: "model/failed", error: asError(thrown) });
      throw thrown;
    }
  }

  /** Downloads the demo model once. @param {string} key */
  async function openDemo(key) {
    const { catalogue } = getState().demo;
    if (!catalogue) throw { kind: "download", message: t("error.demo_files") };
    try {
      const info = await client.openModel(key, catalogue.name, await downloaded(catalogue));
      send({ type: "demo/ready" });
      return info;
    } catch (thrown) {
      send({ type: "demo/failed" });
      throw thrown;
    }
  }

  /** The files of the chosen model: the demo's are downloaded. @returns {Promise<import("../files/opened.js").ModelFiles>} */
  async function modelFiles() {
    const { base, demo } = getState();
    if (base.chosen === "demo" && demo.catalogue) return downloaded(demo.catalogue);
    const place = keptOf(base.chosen);
    return folderOf(base.chosen) ?? (place ? [{ path: "", ...place }] : []);
  }

  /** Downloaded once; after a failure again. @param {import("../types.d.ts").DemoCatalogue} catalogue */
  function downloaded(catalogue) {
    demoFiles ??= fetchModel(catalogue, (received, total) => send({ type: "demo/progress", received, total }));
    demoFiles.catch(() => (demoFiles = null));
    return demoFiles;
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
      const here = entryById(getState(), id);
      if (!here) await bringLora(id, false);
      else if (here.status === "reading") await read([id]);
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
    const pixels = async (/** @type {import("../types.d.ts").Start | null} */ image) => {
      const file = image && fileOf(image.id);
      return file ? await pixelsOf(file, width, height) : undefined;
    };
    return { start: await pixels(start), mask: await pixels(start && mask) };
  }

  /** @param {Making} making @param {Recipe} recipe @param {{ start?: Uint8Array, mask?: Uint8Array }} start @param {number} image @param {number} images @returns {Promise<GeneratedImage>} */
  async function draw({ signal, progress, tell }, recipe, start, image, images) {
    signal.throwIfAborted();
    tell({ type: "run/image", image });
    const hear = (/** @type {import("../engine/types.d.ts").PageProgress} */ now) => {
      progress(overallProgress({ image, images, progress: now }).done);
      tell({ type: "run/progress", progress: now });
    };
    const given = { ...start, preview: getState().form.preview };
    return onAbort(signal, () => client.cancel(), () => client.generate(recipe, given, hear));
  }

  /** A form's prompts with their styles, and what its seed chooses from templates. @param {State} state */
  async function filled(state) {
    const { fill, chosen } = state.templates;
    return fill || chosen.length ? (await fillers()).filled(state, client) : state;
  }

  /** What is asked for, once the model is open. @param {AbortSignal} signal @param {Recipe["seed"]} seed in the place of a random one */
  async function ready(signal, seed) {
    await orAbort(signal, openModel());
    return seeded(getState(), seed);
  }

  /** Everything that the images need, brought. @param {AbortSignal} signal @param {State} asked */
  async function prepare(signal, asked) {
    const state = await filled(asked);
    const [plain, cause, loras] = [plainRecipe(state), causeOf(state), activeLabels(state)];
    const recipe = stackedRecipe(state, plain, await orAbort(signal, adapters(state)));
    await orAbort(signal, embeddings(plain));
    const start = await startOf(state, plain);
    return { plain, recipe, cause, loras, start };
  }

  /** Both images of each seed of the batch; the one without LoRAs is drawn anew only when its recipe is new. @param {Making} making */
  async function drawBatch(making) {
    const { tell } = making;
    const { result: last, form } = getState();
    const asked = await ready(making.signal, randomSeed());
    const { plain: first, recipe: stacked, start, ...rest } = await prepare(making.signal, asked);
    const reused = last && last.cause === rest.cause && sameRecipe(last.plain, first) ? last.without : null;
    const isStacked = !sameRecipe(first, stacked);
    const images = Math.max(1, form.batch * (isStacked ? 2 : 1) - (reused ? 1 : 0));
    if (images !== getState().run.images) tell({ type: "run/started", images });
    let image = 0;
    for (let at = 0; at < form.batch; at++) {
      const seed = laterSeed(first.seed, at);
      const next = at && asked.templates.fill ? await prepare(making.signal, { ...asked, form: { ...asked.form, seed } }) : null;
      const { plain, recipe, loras } = next ?? { ...rest, plain: { ...first, seed }, recipe: { ...stacked, seed } };
      const result = { ...rest, loras, plain, recipe, preview: false };
      const without = (at === 0 && reused) || (await draw(making, plain, start, ++image, images));
      if (at > 0 || !reused || !isStacked) tell({ type: "run/result", result: { ...result, without, with: null } });
      if (!isStacked) continue;
      tell({ type: "run/result", result: { ...result, without, with: await draw(making, recipe, start, ++image, images) } });
    }
  }

  /** The image with the LoRAs alone, in few steps. @param {Making} making */
  async function drawQuickly(making) {
    const { signal, tell } = making;
    if (!canRedraw(getState())) return;
    tell({ type: "run/started", images: 1, live: true });
    const { result: last } = getState();
    if (!last) return;
    const { recipe, start, ...rest } = await prepare(signal, await ready(signal, last.plain.seed));
    const steps = Math.min(recipe.steps, LIVE_STEPS);
    const result = { ...last, ...rest, recipe: { ...recipe, steps }, preview: steps < recipe.steps };
    const image = !sameRecipe(rest.plain, recipe) ? await draw(making, result.recipe, start, 1, 1) : null;
    tell({ type: "run/result", result: { ...result, with: image } });
  }

  /** All images of the grid, row by row; those that are finished stay when it is stopped. @param {Making} making */
  async function drawGrid(making) {
    const { signal, tell } = making;
    await orAbort(signal, openModel());
    const state = seeded(getState(), randomSeed());
    const { grid, forms } = plannedGrid(state);
    tell({ type: "run/started", images: forms.length, grid: true });
    send({ type: "grid/started", grid });
    for (const [at, form] of forms.entries()) {
      const asked = await filled({ ...state, form });
      const plain = plainRecipe(asked);
      const recipe = stackedRecipe(asked, plain, await orAbort(signal, adapters(asked)));
      await orAbort(signal, embeddings(plain));
      const image = await draw(making, recipe, await startOf(state, plain), at + 1, forms.length);
      send({ type: "grid/drawn", at, cell: { image, recipe, loras: activeLabels(asked) } });
    }
  }

  /**
   * Images that are asked for wait for each other; one that follows a slider waits for them, and gives way to them and to the next of its kind.
   * @param {"generate" | "grid" | "live"} kind @param {(making: Making) => Promise<void>} make
   */
  function start(kind, make) {
    if (getState().gpu.status !== "ready") return;
    const live = kind === "live";
    const job = jobs.start({
      ...{ lane: "gpu", kind, key: live ? "live" : "asked", same: live ? "replace" : "refuse", priority: live ? 0 : 2, yields: live ? "ends" : "no" },
      run: (signal, progress) => make({ signal, progress, tell }),
    });
    const tell = (/** @type {RunFact | { type: "run/done" | "run/cancelled" } | { type: "run/failed", error: import("../engine/types.d.ts").EngineError }} */ fact) => {
      if (job) send({ ...fact, job: job.id });
    };
    const ended = job?.done.then(
      () => tell({ type: "run/done" }),
      (thrown) => tell(isCancelled(thrown) ? { type: "run/cancelled" } : { type: "run/failed", error: asError(thrown) }),
    );
    return { ended, tell: job ? tell : () => {} };
  }

  async function generate() {
    const run = start("generate", drawBatch);
    const { form } = getState();
    run?.tell({ type: "run/started", images: form.batch * (activeRows(getState()).length ? 2 : 1) });
    await run?.ended;
  }

  function generateGrid() {
    start("grid", drawGrid)?.tell({ type: "run/started", images: plannedGrid(getState()).forms.length, grid: true });
  }

  /** The last wish wins: what follows the slider is stopped, and wishes in between are passed over. */
  function redraw() {
    start("live", drawQuickly);
  }

  /** A run that is still loading stops at once, a drawing one within a step. */
  function cancel() {
    jobs.cancelAll("asked");
    jobs.cancelAll("live");
  }

  return { openAhead, modelFiles, generate, generateGrid, redraw, cancel };
}
