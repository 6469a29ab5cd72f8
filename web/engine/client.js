/** The engine's methods as calls of its worker; a crashed worker is replaced at the next call, and what can be asked twice is asked once more. */

import { Bridge } from "../core/rpc.js";
import { t } from "../words.js";

/** @typedef {import("./types.d.ts").PageProgress} Progress */
/** @typedef {import("./protocol.js").Place} Place */

export class EngineClient {
  #bridge;
  #connect;

  /** What the present worker was given: adapters by sha256, and a model by its key, "" for none. A fresh one knows nothing. */
  known = new Set();
  model = "";

  /**
   * @param {() => Worker} start makes an engine's worker
   * @param {(message: string) => void} onCrash told of a worker that broke while no call waited: a waiting call is rejected instead
   * @param {(address: string) => MessagePort} connect gives a port through which the bytes at an address are read
   */
  constructor(start, onCrash, connect) {
    this.#connect = connect;
    this.#bridge = new Bridge(start, {
      onCrash: (message, waiting) => {
        this.known.clear();
        this.model = "";
        if (!waiting) onCrash(message);
      },
      says: { crashed: (message) => t("engine.stopped", { message }), notLoaded: () => t("engine.not_loaded"), badReply: () => t("engine.bad_reply") },
    });
  }

  /** What a file's header says. @param {Place} place @returns {Promise<import("./types.d.ts").Report>} */
  header(place) {
    return this.#bridge.repeated(async () => this.#call("header", { place: await this.#reached(place) }));
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
    const inspected = await this.#bridge.repeated(async () => this.#call("inspect", { place: await this.#reached(place), known }, onProgress));
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
  summarize(place) {
    return this.#bridge.repeated(async () => this.#call("summarize", { place: await this.#reached(place) }));
  }

  /** @param {Place} place @param {string} line @returns {Promise<import("./types.d.ts").LogExplanation | null>} */
  explainLog(place, line) {
    return this.#bridge.repeated(async () => this.#call("explainLog", { place: await this.#reached(place), line }));
  }

  /** @param {Place} place @param {string} path a layer's @returns {Promise<import("./types.d.ts").LayerSpectrum | null>} */
  spectrum(place, path) {
    return this.#bridge.repeated(async () => this.#call("spectrum", { place: await this.#reached(place), path }));
  }

  /**
   * What a base model's weights say of a report's strengths.
   * @param {Place} place @param {import("../files/opened.js").ModelFiles} base @param {import("./types.d.ts").Measures} measures the report's
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
  compare(a, b) {
    return this.#bridge.repeated(async () => this.#call("compare", { a: await this.#reached(a), b: await this.#reached(b) }));
  }

  /** @returns {Promise<import("./types.d.ts").GpuInfo>} */
  gpu() {
    return this.#bridge.repeated(() => this.#call("gpu", {}));
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
   * @returns {Promise<import("./types.d.ts").GeneratedImage>}
   */
  generate(recipe, given, onProgress) {
    return this.#call("generate", { recipe, ...given }, onProgress);
  }

  /** What an image says of how it was made. @param {string} name @param {Uint8Array} bytes @returns {Promise<import("./types.d.ts").ImageInfo>} */
  readImage(name, bytes) {
    return this.#bridge.repeated(() => this.#call("readImage", { name, bytes }));
  }

  /**
   * Tokens used and room for them; null while no model is at rest.
   * @param {string} prompt @param {import("./types.d.ts").Program} program @param {number} steps
   * @returns {Promise<[used: number, room: number] | null>}
   */
  countTokens(prompt, program, steps) {
    return this.#call("countTokens", { prompt, program, steps });
  }

  /** What styles and templates make of prompts. @param {"styleNames" | "applyStyles" | "fillTemplate"} name @param {Record<string, unknown>} given @returns {Promise<any>} */
  prompted(name, given) {
    return this.#call(name, given);
  }

  /**
   * What an edit would change.
   * @param {import("./types.d.ts").Edit} edit @param {Place[]} places @param {(progress: any) => void} onProgress
   * @returns {Promise<import("./types.d.ts").Preview>}
   */
  previewEdit(edit, places, onProgress) {
    return this.#bridge.repeated(async () => this.#call("previewEdit", { edit, places: await this.#allReached(places) }, onProgress));
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

  /** Ends the worker; calls that wait fail with kind "cancelled". */
  end() {
    this.#bridge.end();
  }

  /** Forgets the ports to web addresses, whose other side is gone. */
  disconnect() {
    for (const each of this.known) if (URL.canParse(each)) this.known.delete(each);
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
   * @param {(progress: any) => void} [onProgress]
   * @param {Transferable[]} [transfer]
   * @returns {Promise<any>}
   */
  #call(call, args, onProgress, transfer) {
    return this.#bridge.call(call, args, { onProgress, transfer });
  }
}
