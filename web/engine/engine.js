/** The engine's methods as calls of its worker, which starts with the first of them. */

import { Client } from "./client.js";

/** @typedef {import("./protocol.js").Place} Place */
/** @typedef {import("./types.d.ts").PageProgress} Progress */

/** What generates images. */
export class EngineClient extends Client {
  /** Key of the model that the present worker has, "" for none. */
  model = "";

  /** Forgets what the last worker was given. */
  forget() {
    super.forget();
    this.model = "";
  }

  /**
   * Lets `generate` use a file that was inspected.
   * @param {string} sha256
   * @param {Place} place
   * @returns {Promise<void>}
   */
  async remember(sha256, place) {
    await this.call("remember", { sha256, place: await this.reached(place) });
    this.known.add(sha256);
  }

  /**
   * @param {string} key
   * @param {import("./protocol.js").ModelPlace} on
   * @param {string} name
   * @param {({ path: string } & Place)[]} files a diffusers folder, paths relative to it
   * @returns {Promise<import("./types.d.ts").ModelInfo>}
   */
  async openModel(key, on, name, files) {
    const model = await this.call("openModel", { on, name, files: await this.allReached(files) });
    this.model = key;
    return model;
  }

  /**
   * @param {string} key
   * @param {import("./protocol.js").ModelPlace} on
   * @param {string} name
   * @param {{ places: Place[], merges: Uint8Array }} files a checkpoint or a UNet, with other files of its text
   * encoders and its VAE, and CLIP's gzipped merges
   * @returns {Promise<import("./types.d.ts").ModelInfo>}
   */
  async openCheckpoint(key, on, name, { places, merges }) {
    const given = { on, name, places: await this.allReached(places), merges };
    const model = await this.call("openCheckpoint", given);
    this.model = key;
    return model;
  }

  /**
   * Seconds that a recipe's images take on the CPU, if they can be told.
   * @param {import("./types.d.ts").Recipe} recipe
   * @returns {Promise<number | undefined>}
   */
  estimate(recipe) {
    return this.call("estimate", { recipe });
  }

  /**
   * @param {import("./types.d.ts").Recipe} recipe
   * @param {{ start?: Uint8Array, mask?: Uint8Array, startWidth: number, preview: boolean }} given RGBA pixels, where
   * it has a `denoise` and is `masked`: of the recipe's size, or of any with a `masked_area`
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<import("./types.d.ts").GeneratedImage>}
   */
  generate(recipe, given, onProgress) {
    return this.call("generate", { recipe, ...given }, onProgress);
  }

  /**
   * An image, larger by an upscaler that the worker knows; the file says the recipe of the image.
   * @param {{ recipe: import("./types.d.ts").Recipe, sha256: string, rgba: Uint8ClampedArray, width: number }} given
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<import("./types.d.ts").GeneratedImage>}
   */
  enlarge(given, onProgress) {
    return this.call("enlarge", given, onProgress);
  }

  /**
   * Words to which a LoRA that the worker knows answers, the strongest first.
   * @param {string} sha256
   * @param {string[]} hints words of its header
   * @param {number} top
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<import("./types.d.ts").RankedWords>}
   */
  findTriggers(sha256, hints, top, onProgress) {
    return this.call("findTriggers", { sha256, hints, top }, onProgress);
  }

  /** Asks the running `generate` to stop: it then rejects with kind "cancelled". @returns {Promise<void>} */
  cancel() {
    return this.call("cancel", {});
  }

  /** Asks the running `generate` to leave the timing of kernels. @returns {Promise<void>} */
  skipTuning() {
    return this.call("skipTuning", {});
  }

  /**
   * Tokens used and room for them; null while no model is at rest.
   * @param {string} prompt @param {import("./types.d.ts").Program} program @param {number} steps
   * @returns {Promise<[used: number, room: number] | null>}
   */
  countTokens(prompt, program, steps) {
    return this.call("countTokens", { prompt, program, steps });
  }

  /**
   * What styles and templates make of prompts.
   * @param {"styleNames" | "applyStyles" | "fillTemplate"} name
   * @param {Record<string, unknown>} given
   * @returns {Promise<any>}
   */
  prompted(name, given) {
    return this.call(name, given);
  }

  /**
   * What an image says of how it was made.
   * @param {string} name
   * @param {Uint8Array} bytes
   * @returns {Promise<import("./types.d.ts").ImageInfo>}
   */
  readImage(name, bytes) {
    return this.repeated(() => this.call("readImage", { name, bytes }));
  }

  /** @returns {Promise<import("./types.d.ts").GpuInfo>} */
  gpu() {
    return this.repeated(() => this.call("gpu", {}));
  }

  /**
   * Names of the kernels that are timed: small shapes, or those of published models.
   * @param {boolean} full
   * @returns {Promise<string[]>}
   */
  benchNames(full) {
    return this.call("benchNames", { full });
  }

  /** What the graphics card can do at most. @returns {Promise<import("./types.d.ts").Row[]>} */
  benchRoof() {
    return this.call("benchRoof", {});
  }

  /**
   * Times one kernel, after `benchRoof`.
   * @param {boolean} full
   * @param {string} name
   * @returns {Promise<import("./types.d.ts").Row>}
   */
  benchCase(full, name) {
    return this.call("benchCase", { full, name });
  }
}
