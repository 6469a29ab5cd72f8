/** The chosen base model -> opened in the engine: the demo is downloaded once, the user's own comes from its files. */

import { asError } from "../core/errors.js";
import { fetchModel } from "../demo/files.js";
import { folderOf, keptOf } from "../files/opened.js";
import { remember, saidOf } from "./known-models.js";
import { clipMerges } from "./merges.js";
import { modelKey, modelPlace } from "../recipe.js";
import { t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** What opens the base model. */
export class BaseModel {
  #engine;
  #jobs;
  #send;
  #getState;
  #messages;
  /** @type {Promise<import("../files/opened.js").ModelFiles> | null} */
  #demoFiles = null;
  /** Goes on when the run that needs it is cancelled. @type {Promise<void> | null} */
  #opening = null;
  /** What the engine said of the model that the worker has. @type {import("../engine/types.d.ts").ModelInfo | null} */
  #opened = null;
  #devices;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
   *   send: import("../types.d.ts").Send, getState: () => State, messages: import("../app/messages.js").Messages,
   *   devices: import("../device/effects.js").Devices,
   * }} world
   */
  constructor({ engine, jobs, send, getState, messages, devices }) {
    this.#engine = engine;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
    this.#devices = devices;
  }

  /** Hands the chosen model to each worker once; the one chosen meanwhile after it. */
  async open() {
    while (this.#engine.model !== modelKey(this.#getState())) {
      if (this.#opening)
        await this.#opening.catch(() => {}); // whoever asked for it hears of it
      else await (this.#opening = this.#openNow(modelKey(this.#getState())).finally(() => (this.#opening = null)));
    }
    // It may have been open all the time, while another was tried in vain.
    if (this.#opened && !this.#getState().base.info) this.#ready(this.#opened);
  }

  /** Opens the chosen model ahead of the first image. */
  async openAhead() {
    const job = this.#jobs.start({ lane: "gpu", kind: "open", priority: 1, run: () => this.open() });
    await job?.done;
  }

  /** @param {string} key */
  async #openNow(key) {
    try {
      this.#opened = await (this.#getState().base.chosen === "demo" ? this.#openDemo(key) : this.#openOwn(key));
      if (key === modelKey(this.#getState())) this.#ready(this.#opened);
    } catch (thrown) {
      if (key !== modelKey(this.#getState()) || this.#devices.fallsBack(thrown)) return;
      // After a crash the model is opened again with the next image: it may not be to blame.
      if (this.#getState().base.chosen !== "demo" && asError(thrown).kind !== "crashed")
        this.#send({ type: "model/failed", error: asError(thrown) });
      throw thrown;
    }
  }

  /** @param {import("../engine/types.d.ts").ModelInfo} info */
  #ready(info) {
    this.#send({ type: "model/ready", info, said: saidOf(info.fingerprint) });
  }

  /** Downloads the demo model once. @param {string} key */
  async #openDemo(key) {
    const { catalogue } = this.#getState().demo;
    if (!catalogue) throw { kind: "download", message: t("error.demo_files") };
    try {
      const files = await this.#downloaded(catalogue);
      const info = await this.#engine.openModel(key, modelPlace(this.#getState()), catalogue.name, files);
      this.#send({ type: "demo/ready" });
      return info;
    } catch (thrown) {
      this.#send({ type: "demo/failed" });
      throw thrown;
    }
  }

  /**
   * The files of the chosen model: the demo's are downloaded.
   * @returns {Promise<import("../files/opened.js").ModelFiles>}
   */
  async files() {
    const { base, demo } = this.#getState();
    if (base.chosen === "demo" && demo.catalogue) return this.#downloaded(demo.catalogue);
    const place = keptOf(base.chosen);
    return folderOf(base.chosen) ?? (place ? [{ path: "", ...place }] : []);
  }

  /** Downloaded once; after a failure again. @param {import("../types.d.ts").DemoCatalogue} catalogue */
  #downloaded(catalogue) {
    this.#demoFiles ??= fetchModel(catalogue, (received, total) =>
      this.#send({ type: "demo/progress", received, total }),
    );
    this.#demoFiles.catch(() => (this.#demoFiles = null));
    return this.#demoFiles;
  }

  /** @param {string} key */
  async #openOwn(key) {
    const { chosen, own, parts } = this.#getState().base;
    const name = own.find(({ id }) => id === chosen)?.name ?? "";
    const on = modelPlace(this.#getState());
    const folder = folderOf(chosen);
    if (folder) return this.#engine.openModel(key, on, name, folder);
    const place = keptOf(chosen);
    if (!place) throw { kind: "no_model", message: t("error.gone", { name }) };
    const others = parts.map(({ id }) => keptOf(id)).filter((part) => part !== undefined);
    return this.#engine.openCheckpoint(key, on, name, { places: [place, ...others], merges: await clipMerges() });
  }

  /** The chosen model, opened before it is asked for; what goes wrong is a remark already. */
  async #openChosen() {
    await this.#devices.known;
    const { device, base, demo } = this.#getState();
    if (device.status !== "ready" || base.lacks || (base.chosen === "demo" && demo.status !== "ready")) return;
    await this.openAhead().catch(
      (thrown) => asError(thrown).kind === "crashed" && this.#messages.raise(t("error.engine"), thrown),
    );
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "device/chosen":
      case "weights/chosen":
      case "part/added":
      case "part/removed":
      case "model/chosen":
      case "model/failed":
      case "restored":
        return void this.#openChosen();
      case "form/changed": {
        const { base, form } = this.#getState();
        if (base.info && ("prediction" in action.change || "zeroSnr" in action.change))
          remember(base.info.fingerprint, form);
      }
    }
  }
}
