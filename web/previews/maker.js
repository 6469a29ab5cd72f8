/** The LoRAs of a folder -> a preview of each, behind everything that the user asks for; kept until they are saved. */

import { asError, isCancelled, orAbort } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { fileOf, keptOf, rootOf } from "../files/opened.js";
import { folderRows } from "../files/folder.js";
import { rememberCalled } from "../generate/called.js";
import { reopenedFolder } from "../library/handles.js";
import { deviceOf, modelKey, plainRecipe } from "../recipe.js";
import { fillers } from "../templates/lazy.js";
import { t } from "../words.js";
import { hashesOf } from "./hashes.js";
import { countsOf, firstForm, formFor, reasonAgainst } from "./plan.js";
import { saveEmbedded, saveInto, saveZip } from "./save.js";
import { forgetAll, keepImage, keepOnly, keepRun, keptImage, leftRun } from "./store.js";

/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").FolderRow} FolderRow */
/** @typedef {import("../types.d.ts").LoraPreview} LoraPreview */
/**
 * @typedef {{
 *   engine: import("../engine/engine.js").EngineClient, inspector: import("../engine/inspector.js").InspectorClient,
 *   jobs: import("../core/jobs.js").Jobs, model: import("../generate/model.js").BaseModel,
 *   send: import("../types.d.ts").Send, getState: () => State, messages: import("../app/messages.js").Messages,
 * }} World
 */
/**
 * What is asked for: `model` is the key of the model and `page` the form with its styles, once the model is open.
 * @typedef {{
 *   form: import("../types.d.ts").PreviewForm, all: FolderRow[], model: string,
 *   page: Pick<State, "form" | "templates"> | null,
 * }} Wish
 */

/** Failures in a row that are no longer the files' own. */
const MOST_FAILURES = 3;

/** What makes previews. */
export class PreviewMaker {
  #world;
  #setLeft;
  /** By the files' ids. @type {Map<string, { image: Blob, url: string }>} */
  #images = new Map();
  /** By which recipe they were made. */
  #cause = "";
  /** The latest job: what older ones say of their end is dropped. */
  #latest = 0;
  /** Seconds that each took. @type {number[]} */
  #seconds = [];
  /** What an earlier visit left, while its folder is being opened again. @type {import("./store.js").Left | null} */
  #resumed = null;

  /** @param {World} world @param {(left: boolean) => void} setLeft remembers whether the next visit is to ask here */
  constructor(world, setLeft) {
    this.#world = world;
    this.#setLeft = setLeft;
  }

  /** Tells what an earlier visit left. */
  async offer() {
    const left = await leftRun();
    if (!left) return this.#setLeft(false);
    const { folder, done, all, handle } = left;
    this.#world.send({ type: "previews/left", left: { folder, done, all, again: handle !== null } });
  }

  /** The panel, with the recipe of what is left. */
  async #open() {
    const { send, getState } = this.#world;
    send({ type: "previews/opened", form: (await leftRun())?.form ?? firstForm(getState()) });
  }

  /** The folder of what was left is opened again; the rest follows when its table stands. */
  async #resume() {
    const { send, messages } = this.#world;
    const left = await leftRun();
    if (!left?.handle) return;
    try {
      const files = await reopenedFolder(left.handle, left.folder);
      this.#resumed = left;
      send({
        type: "files/dropped",
        files: [],
        folders: [{ name: left.folder, files, handle: left.handle }],
        place: "",
      });
    } catch (thrown) {
      messages.raise(t("previews.not_resumed"), thrown);
    }
  }

  #goOn() {
    const { send, getState } = this.#world;
    const rows = getState().look.folder?.rows ?? [];
    if (!this.#resumed || !rows.every(({ summary, error }) => summary || error)) return;
    if (rootOf(rows[0]?.id ?? "").name !== this.#resumed.folder) return void (this.#resumed = null);
    send({ type: "previews/opened", form: this.#resumed.form });
    send({ type: "previews/start" });
  }

  /** All files on show, as one job that gives way to whatever else the graphics card is to do. */
  #start() {
    const { jobs, send, getState } = this.#world;
    const { look, previews } = getState();
    if (!look.folder || !previews) return;
    const all = folderRows(look.folder);
    const { form } = previews;
    /** @type {Wish} */
    const wish = { form, all, model: "", page: null };
    const job = jobs.start({
      ...{ lane: "gpu", kind: "previews", name: t("n.file", { n: all.length }), same: "replace" },
      ...{ priority: -1, yields: "resumes" },
      run: (signal, progress) => this.#run(wish, signal, progress),
    });
    const end = (
      /** @type {"stopped" | "made"} */ status,
      /** @type {import("../core/errors.js").EngineError | null} */ error,
    ) => {
      if (this.#latest === job?.id) send({ type: "previews/ended", status, error });
    };
    this.#latest = job?.id ?? 0;
    job?.done.then(
      () => end("made", null),
      (thrown) => end("stopped", isCancelled(thrown) ? null : asError(thrown)),
    );
  }

  /**
   * A run that was paused begins here again, with the model that it began with.
   * @param {Wish} wish
   * @param {AbortSignal} signal
   * @param {(done: number) => void} progress
   */
  async #run(wish, signal, progress) {
    const { model, send, getState } = this.#world;
    this.#hold(wish);
    await orAbort(signal, model.open());
    wish.model = modelKey(getState());
    // What is changed in the form while they are made is for the user's own images.
    wish.page ??= { form: getState().form, templates: getState().templates };
    const cause = await this.#begin(wish);
    let failures = 0;
    for (const row of wish.all) {
      const before = getState().previews?.made[row.id];
      if (before && before.status !== "failed") continue;
      signal.throwIfAborted();
      this.#hold(wish);
      const preview = await this.#made(wish, cause, row, signal);
      const seconds = this.#seconds.reduce((sum, each) => sum + each, 0) / this.#seconds.length || null;
      send({ type: "previews/made", id: row.id, preview, seconds });
      failures = preview.status === "failed" ? failures + 1 : 0;
      if (preview.status === "failed" && failures === MOST_FAILURES) throw preview.error;
      progress(await this.#keep(wish, cause));
    }
  }

  /** With another model the images would be of another kind. @param {Wish} wish */
  #hold({ model }) {
    if (model && model !== modelKey(this.#world.getState()))
      throw { kind: "model", message: t("previews.model_changed") };
  }

  /**
   * What decides all images, and what is left of those that were made by it.
   * @param {Wish} wish
   */
  async #begin(wish) {
    const { form, all } = wish;
    const { send } = this.#world;
    const state = this.#stateFor(wish, "");
    const plain = plainRecipe(state);
    const { chosen, fill } = state.templates;
    const cause = JSON.stringify([form, plain, state.base.info?.fingerprint, deviceOf(state), chosen, fill]);
    const resumed = this.#resumed;
    this.#resumed = null;
    if (resumed && resumed.cause !== cause)
      throw { kind: "model", message: t("previews.other_model", { name: resumed.model }) };
    const anew = cause !== this.#cause;
    if (anew) this.#letGo();
    this.#cause = cause;
    send({ type: "previews/begun", ids: all.map(({ id }) => id), anew });
    send({ type: "previews/left", left: null });
    await keepOnly(cause);
    await this.#keep(wish, cause);
    this.#setLeft(true);
    return cause;
  }

  /** Keeps how far it is, for the next visit; gives the share. @param {Wish} wish @param {string} cause */
  async #keep({ form, all }, cause) {
    const { previews, base } = this.#world.getState();
    const { made, skipped, failed } = previews ? countsOf(previews) : { made: 0, skipped: 0, failed: 0 };
    const done = made + skipped + failed;
    const { name, handle } = rootOf(all[0]?.id ?? "");
    await keepRun({ ...{ folder: name, handle, form, cause }, model: base.info?.name ?? "", done, all: all.length });
    return done / Math.max(1, all.length);
  }

  /**
   * The page's state with the form for a file of these trigger words.
   * @param {Wish} wish @param {string} words @returns {State}
   */
  #stateFor({ form, page }, words) {
    const state = { ...this.#world.getState(), ...page };
    return { ...state, form: formFor(state.form, form, words), start: null, mask: null };
  }

  /**
   * @param {Wish} wish @param {string} cause @param {FolderRow} row @param {AbortSignal} signal
   * @returns {Promise<LoraPreview>}
   */
  async #made(wish, cause, row, signal) {
    const file = fileOf(row.id);
    if (!file || row.error)
      return { status: "failed", error: row.error ?? { kind: "gone", message: t("previews.gone") } };
    try {
      const kept = await keptImage(cause, row.path, file);
      if (kept) return this.#shown(row.id, kept);
      const why = reasonAgainst(this.#world.getState(), await this.#world.inspector.header({ file, ...configOf(row) }));
      if (why) return { status: "skipped", reason: why };
      const started = performance.now();
      const image = await this.#drawn(wish, row, file, signal);
      this.#seconds.push((performance.now() - started) / 1000);
      await keepImage(cause, row.path, file, image);
      return this.#shown(row.id, image);
    } catch (thrown) {
      if (isCancelled(thrown) || signal.aborted || asError(thrown).kind === "crashed") throw thrown;
      return { status: "failed", error: asError(thrown) };
    }
  }

  /** @param {string} id @param {Blob} image @returns {LoraPreview} */
  #shown(id, image) {
    const url = URL.createObjectURL(image);
    this.#images.set(id, { image, url });
    return { status: "made", url };
  }

  /** @param {Wish} wish @param {FolderRow} row @param {File} file @param {AbortSignal} signal */
  async #drawn(wish, { path, summary, id }, file, signal) {
    const { engine } = this.#world;
    const { sha256, autoV3 } = await hashesOf(file, signal);
    const place = keptOf(id);
    if (place && !engine.known.has(sha256)) await engine.remember(sha256, place);
    const state = await this.#filled(this.#stateFor(wish, summary?.trigger_words ?? ""));
    const plain = plainRecipe(state);
    const adapter = { name: path.split("/").at(-1) ?? path, sha256, strength: wish.form.strength };
    const recipe = { ...plain, adapters: [{ ...adapter, ...(autoV3 && { hash: autoV3 }) }] };
    await rememberCalled(engine, state, plain);
    const { png } = await onAbort(
      signal,
      () => engine.cancel(),
      () => engine.generate(recipe, { startWidth: recipe.width, preview: false }, () => {}),
    );
    return new Blob([/** @type {BlobPart} */ (png)], { type: "image/png" });
  }

  /** Prompts with their styles and what the seed chooses from templates. @param {State} state */
  async #filled(state) {
    const { fill, chosen } = state.templates;
    return fill || chosen.length ? (await fillers()).filled(state, this.#world.engine) : state;
  }

  /** @param {"zip" | "folder" | "embedded"} as */
  #save(as) {
    const { messages, getState, send } = this.#world;
    const rows = getState().look.folder?.rows ?? [];
    const images = rows.flatMap(({ id, path, summary }) => {
      const made = this.#images.get(id);
      return made ? [{ id, path, image: made.image, container: summary?.container ?? "" }] : [];
    });
    if (!images.length) return;
    void messages.saved(async () => {
      const name = as === "zip" ? await saveZip(images) : null;
      const saved = as === "folder" ? await saveInto(images) : null;
      const copied = as === "embedded" ? await saveEmbedded(this.#world, images) : null;
      const told = saved ?? copied;
      if (told) send({ type: "previews/saved", saved: told });
      if ((name || told) && getState().previews?.status !== "running") await this.#forget();
      return name;
    });
  }

  /** Nothing is kept for the next visit. */
  async #forget() {
    await forgetAll();
    this.#setLeft(false);
    this.#world.send({ type: "previews/left", left: null });
  }

  #letGo() {
    for (const { url } of this.#images.values()) URL.revokeObjectURL(url);
    this.#images.clear();
    this.#seconds = [];
    this.#cause = "";
  }

  /** @param {Action} action */
  act(action) {
    const { jobs } = this.#world;
    switch (action.type) {
      case "previews/open":
        return void this.#open();
      case "previews/resume":
        return void this.#resume();
      case "previews/start":
        return this.#start();
      case "previews/stop":
        return jobs.cancelAll("previews");
      case "previews/save":
        return this.#save(action.as);
      case "previews/forget":
      case "session/forget":
        return void this.#forget();
      case "folder/summarized":
        return this.#goOn();
      case "folder/listed":
      case "folder/closed":
      case "previews/close":
        jobs.cancelAll("previews");
        return this.#letGo();
    }
  }
}

/** @param {FolderRow} row */
function configOf({ id }) {
  const place = keptOf(id);
  return { config: place && "config" in place ? place.config : undefined };
}
