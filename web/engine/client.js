/** Method calls of the page -> messages to the engine's worker and back; a crashed worker is replaced at the next call. */

import { t } from "../words.js";
import { asError } from "./protocol.js";

/** @typedef {import("./types.d.ts").EngineError} EngineError */
/** @typedef {import("./types.d.ts").PageProgress} Progress */
/** @typedef {import("./protocol.js").Place} Place */
/** @typedef {{ resolve: (result: any) => void, reject: (error: EngineError) => void, onProgress?: (progress: Progress) => void }} Waiting */

export class EngineClient {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, Waiting>} */
  #waiting = new Map();
  #nextId = 1;
  #start;
  #onCrash;
  #connect;

  /** What the present worker was given: adapters by sha256, and a model by its key, "" for none. A fresh one knows nothing. */
  known = new Set();
  model = "";

  /**
   * @param {() => Worker} start makes a worker that speaks protocol.js
   * @param {(message: string) => void} onCrash told of a worker that broke while no call waited: a waiting call is rejected instead
   * @param {(address: string) => MessagePort} connect gives a port through which the bytes at an address are read
   */
  constructor(start, onCrash, connect) {
    this.#connect = connect;
    this.#start = start;
    this.#onCrash = onCrash;
  }

  /** What a file's header says. @param {Place} place @returns {Promise<import("./types.d.ts").Report>} */
  async header(place) {
    return this.#call("header", { place: await this.#reached(place) });
  }

  /**
   * Reads one of the `parts` of a file, for `inspect` of any worker.
   * @param {Place} place @param {number} part @param {number} parts @param {(progress: any) => void} onProgress hears of `ReadProgress`
   * @returns {Promise<object[]>}
   */
  async measure(place, part, parts, onProgress) {
    return this.#call("measure", { place: await this.#reached(place), part, parts }, onProgress);
  }

  /**
   * @param {Place} place @param {object[]} known what `measure` gave for parts of it
   * @param {(progress: any) => void} onProgress hears of `ReadProgress`
   * @returns {Promise<import("./types.d.ts").Inspected>}
   */
  async inspect(place, known, onProgress) {
    const inspected = await this.#call("inspect", { place: await this.#reached(place), known }, onProgress);
    this.known.add(inspected.report.sha256);
    return inspected;
  }

  /** Lets `generate` use a file that another worker inspected. @param {string} sha256 @param {Place} place @returns {Promise<void>} */
  async remember(sha256, place) {
    await this.#call("remember", { sha256, place: await this.#reached(place) });
    this.known.add(sha256);
  }

  /** Asks the running `measure` and `inspect` to stop: they then reject with kind "cancelled". @returns {Promise<void>} */
  stopReading() {
    return this.#call("stopReading", {});
  }

  /** A file's row of a table of many. @param {Place} place @returns {Promise<import("./types.d.ts").Summary>} */
  async summarize(place) {
    return this.#call("summarize", { place: await this.#reached(place) });
  }

  /** @param {Place} place @param {string} line @returns {Promise<import("./types.d.ts").LogExplanation | null>} */
  async explainLog(place, line) {
    return this.#call("explainLog", { place: await this.#reached(place), line });
  }

  /** @param {Place} place @param {string} path a layer's @returns {Promise<import("./types.d.ts").LayerSpectrum | null>} */
  async spectrum(place, path) {
    return this.#call("spectrum", { place: await this.#reached(place), path });
  }

  /**
   * What a base model's weights say of a report's strengths.
   * @param {Place} place @param {import("../library.js").ModelFiles} base @param {import("./types.d.ts").Measures} measures the report's
   * @param {(done: any) => void} onProgress hears of each hundredth, 0 to 1
   * @returns {Promise<import("./types.d.ts").Weighing>}
   */
  async weigh(place, base, { modules, coverage, health }, onProgress) {
    const measures = { modules, coverage, health };
    return this.#call("weigh", { place: await this.#reached(place), base: await this.#allReached(base), measures }, onProgress);
  }

  /** Asks the running `weigh` to stop: it then rejects with kind "cancelled". @returns {Promise<void>} */
  stopWeighing() {
    return this.#call("stopWeighing", {});
  }

  /** @param {Place} a @param {Place} b @returns {Promise<import("./types.d.ts").ComparedFiles>} */
  async compare(a, b) {
    return this.#call("compare", { a: await this.#reached(a), b: await this.#reached(b) });
  }

  /** @returns {Promise<import("./types.d.ts").GpuInfo>} */
  gpu() {
    return this.#call("gpu", {});
  }

  /**
   * @param {string} key
   * @param {string} name
   * @param {({ path: string } & Place)[]} files a diffusers folder, paths relative to it
   * @returns {Promise<import("./types.d.ts").ModelInfo>}
   */
  async openModel(key, name, files) {
    const model = await this.#call("openModel", { name, files: await this.#allReached(files) });
    this.model = key;
    return model;
  }

  /**
   * @param {string} key
   * @param {string} name
   * @param {{ place: Place, merges: Uint8Array, vae?: Place }} parts a single-file checkpoint, CLIP's gzipped merges, and a VAE in place of its own
   * @returns {Promise<import("./types.d.ts").ModelInfo>}
   */
  async openCheckpoint(key, name, { place, merges, vae }) {
    await this.#allReached(vae ? [place, vae] : [place]);
    const model = await this.#call("openCheckpoint", { name, place, merges, vae });
    this.model = key;
    return model;
  }

  /**
   * @param {import("./types.d.ts").Recipe} recipe
   * @param {{ start?: Uint8Array, mask?: Uint8Array, preview: boolean }} given RGBA pixels of the recipe's size, where it has a `denoise` and is `masked`
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<import("./types.d.ts").Picture>}
   */
  generate(recipe, given, onProgress) {
    return this.#call("generate", { recipe, ...given }, onProgress);
  }

  /** What a PNG says of how it was made. @param {Uint8Array} bytes @returns {Promise<import("./types.d.ts").PngInfo>} */
  readPng(bytes) {
    return this.#call("readPng", { bytes });
  }

  /**
   * Tokens used and room for them; null while no model is at rest.
   * @param {string} prompt @param {import("./types.d.ts").Program} program @param {number} steps
   * @returns {Promise<[used: number, room: number] | null>}
   */
  countTokens(prompt, program, steps) {
    return this.#call("countTokens", { prompt, program, steps });
  }

  /**
   * What an edit would change.
   * @param {import("./types.d.ts").Edit} edit @param {Place[]} places @param {(progress: any) => void} onProgress
   * @returns {Promise<import("./types.d.ts").Preview>}
   */
  async previewEdit(edit, places, onProgress) {
    return this.#call("previewEdit", { edit, places: await this.#allReached(places) }, onProgress);
  }

  /**
   * Makes an edit's file.
   * @param {import("./types.d.ts").Edit} edit @param {Place[]} places @param {{ name: string, session: string }} as
   * @param {(progress: any) => void} onProgress
   * @returns {Promise<{ edited: import("./types.d.ts").Edited, file: File }>}
   */
  async applyEdit(edit, places, as, onProgress) {
    return this.#call("applyEdit", { edit, places: await this.#allReached(places), ...as }, onProgress);
  }

  /** Asks running edits to stop: they then reject with kind "cancelled". @returns {Promise<void>} */
  stopEdit() {
    return this.#call("stopEdit", {});
  }

  /** Asks the running `generate` to stop: it then rejects with kind "cancelled". @returns {Promise<void>} */
  cancel() {
    return this.#call("cancel", {});
  }

  /** Ends the worker; a call that waits never hears of it. */
  end() {
    this.#worker?.terminate();
    this.#worker = null;
  }

  /** Names of the kernels that are timed: small shapes, or those of published models. @param {boolean} full @returns {Promise<string[]>} */
  benchNames(full) {
    return this.#call("benchNames", { full });
  }

  /** What the graphics card can do at most. @returns {Promise<import("./types.d.ts").Row[]>} */
  benchRoof() {
    return this.#call("benchRoof", {});
  }

  /** Times one kernel, after `benchRoof`. @param {boolean} full @param {string} name @returns {Promise<import("./types.d.ts").Row>} */
  benchCase(full, name) {
    return this.#call("benchCase", { full, name });
  }

  /** Asks the running `generate` to leave the timing of kernels. @returns {Promise<void>} */
  skipTuning() {
    return this.#call("skipTuning", {});
  }

  /** A place whose bytes the present worker can read. @param {Place} place @returns {Promise<Place>} */
  async #reached(place) {
    if ("address" in place && !this.known.has(place.address)) {
      const port = this.#connect(place.address);
      this.known.add(place.address);
      await this.#call("connect", { address: place.address, port }, undefined, [port]);
    }
    return place;
  }

  /** @param {Place[]} places */
  #allReached(places) {
    return Promise.all(places.map((place) => this.#reached(place)));
  }

  /**
   * @param {import("./protocol.js").CallName} call
   * @param {object} args
   * @param {(progress: Progress) => void} [onProgress]
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  #call(call, args, onProgress, transfer = []) {
    const worker = (this.#worker ??= this.#fresh());
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, onProgress });
      worker.postMessage({ id, call, args }, transfer);
    });
  }

  #fresh() {
    const worker = this.#start();
    worker.onmessage = ({ data }) => this.#receive(worker, data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#crash(worker, event.message ?? t("engine.not_loaded"));
    };
    worker.onmessageerror = () => this.#crash(worker, t("engine.bad_reply"));
    return worker;
  }

  /** @param {Worker} worker @param {import("./protocol.js").Reply} reply */
  #receive(worker, reply) {
    if ("crashed" in reply) return this.#crash(worker, reply.crashed);
    const waiting = this.#waiting.get(reply.id);
    if (!waiting) return;
    if ("progress" in reply) return waiting.onProgress?.(reply.progress);
    this.#waiting.delete(reply.id);
    if ("error" in reply) waiting.reject(asError(reply.error));
    else waiting.resolve(reply.result);
  }

  /** @param {Worker} worker @param {string} message */
  #crash(worker, message) {
    if (worker !== this.#worker) return;
    worker.terminate();
    this.#worker = null;
    this.known.clear();
    this.model = "";
    const error = { kind: "crashed", message: t("engine.stopped", { message }) };
    if (this.#waiting.size === 0) this.#onCrash(message);
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
