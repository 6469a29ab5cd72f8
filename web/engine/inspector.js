/** The inspector's methods as calls of its worker. */

import { Client } from "./client.js";

/** @typedef {import("./protocol.js").Place} Place */

/** What reads and edits files. */
export class InspectorClient extends Client {
  /** What a file's header says. @param {Place} place @returns {Promise<import("./types.d.ts").Report>} */
  header(place) {
    return this.repeated(async () => this.call("header", { place: await this.reached(place) }));
  }

  /**
   * Reads one of the `parts` of a file, for `inspect` of any worker.
   * @param {Place} place
   * @param {number} part
   * @param {number} parts
   * @param {(progress: any) => void} onProgress hears of `ReadProgress`
   * @returns {Promise<object[]>}
   */
  async measure(place, part, parts, onProgress) {
    return this.call("measure", { place: await this.reached(place), part, parts }, onProgress);
  }

  /**
   * @param {Place} place @param {object[]} known what `measure` gave for parts of it
   * @param {(progress: any) => void} onProgress hears of `ReadProgress`
   * @returns {Promise<import("./types.d.ts").Inspected>}
   */
  async inspect(place, known, onProgress) {
    return this.repeated(async () => this.call("inspect", { place: await this.reached(place), known }, onProgress));
  }

  /**
   * Asks the running `measure` and `inspect` to stop: they then reject with kind "cancelled".
   * @returns {Promise<void>}
   */
  stopReading() {
    return this.call("stopReading", {});
  }

  /** A file's row of a table of many. @param {Place} place @returns {Promise<import("./types.d.ts").Summary>} */
  summarize(place) {
    return this.repeated(async () => this.call("summarize", { place: await this.reached(place) }));
  }

  /** @param {Place} place @param {string} line @returns {Promise<import("./types.d.ts").LogExplanation | null>} */
  explainLog(place, line) {
    return this.repeated(async () => this.call("explainLog", { place: await this.reached(place), line }));
  }

  /**
   * @param {Place} place
   * @param {string} path a layer's
   * @returns {Promise<import("./types.d.ts").LayerSpectrum | null>}
   */
  spectrum(place, path) {
    return this.repeated(async () => this.call("spectrum", { place: await this.reached(place), path }));
  }

  /**
   * What a base model's weights say of a report's strengths.
   * @param {Place} place
   * @param {import("../files/opened.js").ModelFiles} base
   * @param {import("./types.d.ts").Measures} measures the report's
   * @param {(done: any) => void} onProgress hears of each hundredth, 0 to 1
   * @returns {Promise<import("./types.d.ts").Weighing>}
   */
  async weigh(place, base, { modules, coverage, health }, onProgress) {
    const measures = { modules, coverage, health };
    return this.call(
      "weigh",
      { place: await this.reached(place), base: await this.allReached(base), measures },
      onProgress,
    );
  }

  /** Asks the running `weigh` to stop: it then rejects with kind "cancelled". @returns {Promise<void>} */
  stopWeighing() {
    return this.call("stopWeighing", {});
  }

  /** @param {Place} a @param {Place} b @returns {Promise<import("./types.d.ts").ComparedFiles>} */
  compare(a, b) {
    return this.repeated(async () => this.call("compare", { a: await this.reached(a), b: await this.reached(b) }));
  }

  /**
   * What an edit would change.
   * @param {import("./types.d.ts").Edit} edit @param {Place[]} places @param {(progress: any) => void} onProgress
   * @returns {Promise<import("./types.d.ts").Preview>}
   */
  previewEdit(edit, places, onProgress) {
    return this.repeated(async () =>
      this.call("previewEdit", { edit, places: await this.allReached(places) }, onProgress),
    );
  }

  /**
   * Makes an edit's file.
   * @param {import("./types.d.ts").Edit} edit @param {Place[]} places @param {{ name: string, session: string }} as
   * @param {(progress: any) => void} onProgress
   * @returns {Promise<{ edited: import("./types.d.ts").Edited, file: File }>}
   */
  async applyEdit(edit, places, as, onProgress) {
    return this.call("applyEdit", { edit, places: await this.allReached(places), ...as }, onProgress);
  }

  /**
   * The training runs among files, by their paths and headers.
   * @param {Place[]} places
   * @param {string[]} names
   * @returns {Promise<import("./types.d.ts").Series[]>}
   */
  findSeries(places, names) {
    return this.repeated(async () => this.call("findSeries", { places: await this.allReached(places), names }));
  }

  /**
   * Measures one of the `parts` of the layers of a run's files, in order.
   * @param {Place[]} places
   * @param {number} part
   * @param {number} parts
   * @param {(progress: any) => void} onLayers hears of `SeriesProgress`
   * @returns {Promise<void>}
   */
  async measureSeries(places, part, parts, onLayers) {
    return this.call("measureSeries", { places: await this.allReached(places), part, parts }, onLayers);
  }

  /**
   * @param {import("./types.d.ts").SeriesFile[]} files
   * @param {import("./types.d.ts").SeriesLayer[]} layers
   * @returns {Promise<import("./types.d.ts").SeriesSummary>}
   */
  summarizeSeries(files, layers) {
    return this.call("summarizeSeries", { files, layers });
  }

  /** Asks running edits to stop: they then reject with kind "cancelled". @returns {Promise<void>} */
  stopEdit() {
    return this.call("stopEdit", {});
  }
}
