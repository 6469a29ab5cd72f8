/**
 * The form -> two images of each seed, without and with the LoRAs, or a grid of them. Model and LoRAs are brought
 * first; cancel answers at every point.
 */

import { debounced } from "../core/debounced.js";
import { asError, isCancelled, orAbort } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { plannedGrid } from "../grid.js";
import { fileOf, keptOf } from "../files/opened.js";
import { pixelsOf, sizeOf } from "../images.js";
import { rememberCalled } from "./called.js";
import { laterSeed } from "./seed.js";
import {
  activeLabels,
  activeRows,
  canRedraw,
  causeOf,
  modelKey,
  plainRecipe,
  sameRecipe,
  seeded,
  stackedRecipe,
} from "../recipe.js";
import { entryById, overallProgress, usable } from "../select.js";
import { fillers } from "../templates/lazy.js";
import { t } from "../words.js";
import { selectText } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../engine/types.d.ts").Recipe} Recipe */
/** @typedef {import("../engine/types.d.ts").GeneratedImage} GeneratedImage */

/** How runs that were asked for, and those that follow a slider, stand in the queue of the GPU. */
const ASKED = /** @type {const} */ ({ lane: "gpu", key: "asked", same: "refuse", priority: 2, yields: "no" });
const LIVE = /** @type {const} */ ({ lane: "gpu", key: "live", same: "replace", priority: 0, yields: "ends" });

/** The most steps of an image that follows a slider. */
const LIVE_STEPS = 8;

/** As large as the web UIs draw it. */
const randomSeed = () => Math.floor(Math.random() * 2 ** 32);

/**
 * What the images of a run are made of; `tell` says of the run itself.
 * @typedef {{ signal: AbortSignal, progress: (done: number) => void, tell: (action: RunFact) => void }} Making
 */
/**
 * A fact of the run of a job, but for the job.
 * @typedef {{ type: "run/image", image: number } | { type: "run/progress", progress:
 * import("../engine/types.d.ts").PageProgress } | { type: "run/result", result: import("../types.d.ts").Result } |
 * RunStart} RunFact
 */
/**
 * How a run ended.
 * @typedef {{ type: "run/done" | "run/cancelled" } | { type: "run/failed",
 *   error: import("../engine/types.d.ts").EngineError }} RunEnd
 */
/** @typedef {{ type: "run/started", images: number, live?: boolean, grid?: boolean }} RunStart */

/** What makes the images. */
export class Runner {
  #engine;
  #jobs;
  #send;
  #getState;
  #bringLora;
  #read;
  #model;
  #countSoon = debounced(200, () => this.#countTokens());
  #redrawSoon = debounced(250, () => {
    if (canRedraw(this.#getState())) this.#redraw();
  });

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
   *   send: import("../types.d.ts").Send, getState: () => State, model: import("./model.js").BaseModel,
   *   bringLora: (id: string, select: boolean) => Promise<void>, read: (ids: string[]) => Promise<void>,
   * }} world
   */
  constructor({ engine, jobs, send, getState, model, bringLora, read }) {
    this.#engine = engine;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#model = model;
    this.#bringLora = bringLora;
    this.#read = read;
  }

  /**
   * The stack as a recipe's lines, each known to the worker.
   * @param {State} state
   * @returns {Promise<Recipe["adapters"]>}
   */
  async #adapters(state) {
    const choices = [];
    for (const { id, strength, textEncoder, blocks } of activeRows(state)) {
      const here = entryById(this.#getState(), id);
      if (!here) await this.#bringLora(id, false);
      else if (here.status === "reading") await this.#read([id]);
      const entry = entryById(this.#getState(), id);
      const kept = keptOf(id);
      if (!kept || !entry?.report || !usable(entry)) {
        throw entry?.error ?? { kind: "unusable", message: t("error.no_lora") };
      }
      const { sha256, hashes } = entry.report;
      if (!this.#engine.known.has(sha256)) await this.#engine.remember(sha256, kept);
      const rest = {
        ...(textEncoder !== null && { text_encoder: textEncoder }),
        ...(blocks && { blocks }),
        ...(hashes?.auto_v3 && { hash: hashes.auto_v3 }),
      };
      choices.push({ name: entry.name, sha256, strength, ...rest });
    }
    return choices;
  }

  /**
   * The pixels to start from, and those of their mask: in the recipe's size, or all if the masked area alone is
   * generated. @param {State} state @param {Recipe} recipe
   */
  async #startOf({ start, mask }, { width, height, masked, masked_area }) {
    const file = start && fileOf(start.id);
    const [wide, high] = file && masked && masked_area ? await sizeOf(file) : [width, height];
    const pixels = async (/** @type {import("../types.d.ts").Start | null} */ image) => {
      const file = image && fileOf(image.id);
      return file ? await pixelsOf(file, wide, high) : undefined;
    };
    return { start: await pixels(start), mask: await pixels(start && mask), startWidth: wide };
  }

  /**
   * @param {Making} making
   * @param {Recipe} recipe
   * @param {{ start?: Uint8Array, mask?: Uint8Array, startWidth: number }} start
   * @param {number} image
   * @param {number} images
   * @returns {Promise<GeneratedImage>}
   */
  async #draw({ signal, progress, tell }, recipe, start, image, images) {
    signal.throwIfAborted();
    tell({ type: "run/image", image });
    const hear = (/** @type {import("../engine/types.d.ts").PageProgress} */ now) => {
      progress(overallProgress({ image, images, progress: now }).done);
      tell({ type: "run/progress", progress: now });
    };
    const given = { ...start, preview: this.#getState().form.preview };
    return onAbort(
      signal,
      () => this.#engine.cancel(),
      () => this.#engine.generate(recipe, given, hear),
    );
  }

  /** A form's prompts with their styles, and what its seed chooses from templates. @param {State} state */
  async #filled(state) {
    const { fill, chosen } = state.templates;
    return fill || chosen.length ? (await fillers()).filled(state, this.#engine) : state;
  }

  /**
   * What is asked for, once the model is open.
   * @param {AbortSignal} signal
   * @param {Recipe["seed"]} seed in the place of a random one
   */
  async #ready(signal, seed) {
    await orAbort(signal, this.#model.open());
    return seeded(this.#getState(), seed);
  }

  /** Everything that the images need, brought. @param {AbortSignal} signal @param {State} asked */
  async #prepare(signal, asked) {
    const state = await this.#filled(asked);
    const [plain, cause, loras] = [plainRecipe(state), causeOf(state), activeLabels(state)];
    const recipe = stackedRecipe(state, plain, await orAbort(signal, this.#adapters(state)));
    await orAbort(signal, rememberCalled(this.#engine, this.#getState(), plain));
    const start = await this.#startOf(state, plain);
    return { plain, recipe, cause, loras, start };
  }

  /**
   * Both images of each seed of the batch; the one without LoRAs is drawn anew only when its recipe is new.
   * @param {Making} making
   */
  async #drawBatch(making) {
    const { tell } = making;
    const { result: last, form } = this.#getState();
    const asked = await this.#ready(making.signal, randomSeed());
    const { plain: first, recipe: stacked, start, ...rest } = await this.#prepare(making.signal, asked);
    const reused = last && last.cause === rest.cause && sameRecipe(last.plain, first) ? last.without : null;
    const isStacked = !sameRecipe(first, stacked);
    const images = Math.max(1, form.batch * (isStacked ? 2 : 1) - (reused ? 1 : 0));
    if (images !== this.#getState().run.images) tell({ type: "run/started", images });
    let image = 0;
    for (let at = 0; at < form.batch; at++) {
      const seed = laterSeed(first.seed, at);
      const next =
        at && asked.templates.fill
          ? await this.#prepare(making.signal, { ...asked, form: { ...asked.form, seed } })
          : null;
      const { plain, recipe, loras } = next ?? { ...rest, plain: { ...first, seed }, recipe: { ...stacked, seed } };
      const result = { ...rest, loras, plain, recipe, preview: false };
      const without = (at === 0 && reused) || (await this.#draw(making, plain, start, ++image, images));
      if (at > 0 || !reused || !isStacked) tell({ type: "run/result", result: { ...result, without, with: null } });
      if (!isStacked) continue;
      tell({
        type: "run/result",
        result: { ...result, without, with: await this.#draw(making, recipe, start, ++image, images) },
      });
    }
  }

  /** The image with the LoRAs alone, in few steps. @param {Making} making */
  async #drawQuickly(making) {
    const { signal, tell } = making;
    if (!canRedraw(this.#getState())) return;
    tell({ type: "run/started", images: 1, live: true });
    const { result: last } = this.#getState();
    if (!last) return;
    const { recipe, start, ...rest } = await this.#prepare(signal, await this.#ready(signal, last.plain.seed));
    const steps = Math.min(recipe.steps, LIVE_STEPS);
    const result = { ...last, ...rest, recipe: { ...recipe, steps }, preview: steps < recipe.steps };
    const image = !sameRecipe(rest.plain, recipe) ? await this.#draw(making, result.recipe, start, 1, 1) : null;
    tell({ type: "run/result", result: { ...result, with: image } });
  }

  /** All images of the grid, row by row; those that are finished stay when it is stopped. @param {Making} making */
  async #drawGrid(making) {
    const { signal, tell } = making;
    await orAbort(signal, this.#model.open());
    const state = seeded(this.#getState(), randomSeed());
    const { grid, forms } = plannedGrid(state);
    tell({ type: "run/started", images: forms.length, grid: true });
    this.#send({ type: "grid/started", grid });
    for (const [at, form] of forms.entries()) {
      const asked = await this.#filled({ ...state, form });
      const plain = plainRecipe(asked);
      const recipe = stackedRecipe(asked, plain, await orAbort(signal, this.#adapters(asked)));
      await orAbort(signal, rememberCalled(this.#engine, this.#getState(), plain));
      const image = await this.#draw(making, recipe, await this.#startOf(state, plain), at + 1, forms.length);
      this.#send({ type: "grid/drawn", at, cell: { image, recipe, loras: activeLabels(asked) } });
    }
  }

  /**
   * Images that are asked for wait for each other; one that follows a slider waits for them, and gives way to them and
   * to the next of its kind.
   * @param {"generate" | "grid" | "live"} kind @param {(making: Making) => Promise<void>} make
   */
  #start(kind, make) {
    if (this.#getState().device.status !== "ready") return;
    const live = kind === "live";
    const job = this.#jobs.start({
      ...(live ? LIVE : ASKED),
      kind,
      run: (signal, progress) => make({ signal, progress, tell }),
    });
    const tell = (/** @type {RunFact | RunEnd} */ fact) => {
      if (job) this.#send({ ...fact, job: job.id });
    };
    const ended = job?.done.then(
      () => tell({ type: "run/done" }),
      (thrown) =>
        tell(isCancelled(thrown) ? { type: "run/cancelled" } : { type: "run/failed", error: asError(thrown) }),
    );
    return { ended, tell: job ? tell : () => {} };
  }

  async generate() {
    const run = this.#start("generate", (making) => this.#drawBatch(making));
    const { form } = this.#getState();
    run?.tell({ type: "run/started", images: form.batch * (activeRows(this.#getState()).length ? 2 : 1) });
    await run?.ended;
  }

  #generateGrid() {
    this.#start("grid", (making) => this.#drawGrid(making))?.tell({
      type: "run/started",
      images: plannedGrid(this.#getState()).forms.length,
      grid: true,
    });
  }

  /** The last wish wins: what follows the slider is stopped, and wishes in between are passed over. */
  #redraw() {
    this.#start("live", (making) => this.#drawQuickly(making));
  }

  /** A run that is still loading stops at once, a drawing one within a step. */
  #cancel() {
    this.#jobs.cancelAll("asked");
    this.#jobs.cancelAll("live");
  }

  async #countTokens() {
    const { form, base } = this.#getState();
    if (!base.info || this.#engine.model !== modelKey(this.#getState())) return;
    const counted = await this.#engine.countTokens(form.prompt, form.program, form.steps).catch(() => null);
    if (counted) this.#send({ type: "tokens/counted", tokens: { used: counted[0], room: counted[1] } });
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "run/generate":
        return void this.generate();
      case "run/cancel":
        return this.#cancel();
      case "run/skip_tuning":
        return void this.#engine.skipTuning().catch(() => {});
      case "grid/draw":
        return this.#generateGrid();
      case "restored":
      case "model/ready":
      case "run/done":
        return this.#countSoon();
      case "form/changed":
        this.#countSoon();
        return this.#redrawSoon();
      case "row/changed":
      case "blocks/edited":
        return this.#redrawSoon();
      case "prompt/selected":
        return selectText(action.field, action.text, action.start, action.end);
    }
  }
}
