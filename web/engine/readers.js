/** A file -> its report, and many files -> their rows, read by several workers at once. */

import { cores } from "../world.js";

/** @typedef {import("./inspector.js").InspectorClient} InspectorClient */
/** @typedef {import("./protocol.js").Place} Place */
/** @typedef {{ done: number, rows: import("./types.d.ts").ModuleRow[] }} Progress `done` is 0 to 1 of all work */

/**
 * Bytes below which one worker is done before others have started, and above which a layer takes too much memory twice.
 */
const SMALL = 24 << 20;
const LARGE = 2 ** 31;
/** Workers at most: each takes 40 MB of memory, and the page has to draw what they read. */
const MOST = 2;
/** The share of the work that layers take; hashes take the rest. */
const LAYERS = 0.5;
/** Headers that a worker reads at once. */
const AT_ONCE = 4;
/** Milliseconds between two reports of progress: each draws the map anew, on a core that could read. */
const PAUSE = 250;

export class Readers {
  #inspector;
  #another;
  /** @type {Set<InspectorClient>} */
  #helpers = new Set();

  /**
   * @param {InspectorClient} inspector makes the report
   * @param {() => InspectorClient} another makes one that helps to read
   */
  constructor(inspector, another) {
    this.#inspector = inspector;
    this.#another = another;
  }

  /**
   * @param {Place} place
   * @param {(progress: Progress) => void} onProgress
   * @returns {Promise<import("./types.d.ts").Inspected>}
   */
  async inspect(place, onProgress) {
    const shared = "file" in place && place.file.size >= SMALL && place.file.size <= LARGE;
    const known = shared ? await this.#measured(place, onProgress) : [];
    return this.#inspector.inspect(place, known, ({ done, hashing, rows }) => {
      onProgress({ done: hashing ? LAYERS + (1 - LAYERS) * done : LAYERS * done, rows });
    });
  }

  /**
   * The rows of many files, told one by one; an aborted signal leaves the rest.
   * @template T
   * @param {Iterable<T>} files
   * @param {(file: T, worker: InspectorClient) => Promise<void>} read
   * @param {AbortSignal} signal
   */
  async each(files, read, signal) {
    const left = files[Symbol.iterator]();
    const workers = this.#together();
    const reader = async (/** @type {InspectorClient} */ worker) => {
      while (!signal.aborted) {
        const { done, value } = left.next();
        if (done) return;
        await read(value, worker);
      }
    };
    try {
      await Promise.all(workers.flatMap((worker) => Array.from({ length: AT_ONCE }, () => reader(worker))));
    } finally {
      this.#end(workers);
    }
  }

  /**
   * The layers of a training run's files, told as they are measured.
   * @param {Place[]} places in the run's order
   * @param {(layers: import("./types.d.ts").SeriesLayer[], done: number) => void} onLayers `done` is 0 to 1 of all work
   */
  async series(places, onLayers) {
    const workers = this.#together();
    const done = Array(workers.length).fill(0);
    const measured = workers.map((worker, part) =>
      worker.measureSeries(places, part, workers.length, (progress) => {
        done[part] = progress.done;
        onLayers(progress.layers, done.reduce((sum, share) => sum + share) / workers.length);
      }),
    );
    try {
      await Promise.all(measured);
    } finally {
      this.#end(workers);
    }
  }

  /** The reporting worker and helpers, which are started. */
  #together() {
    const helpers = Array.from({ length: Math.min(MOST, cores()) - 1 }, this.#another);
    helpers.forEach((helper) => this.#helpers.add(helper));
    return [this.#inspector, ...helpers];
  }

  /** Ends the helpers among these. @param {InspectorClient[]} workers */
  #end(workers) {
    for (const worker of workers) if (this.#helpers.delete(worker)) worker.end();
  }

  /**
   * The numbers of every part; of one whose worker broke, none, so that the report reads them.
   * @param {Place} place
   * @param {(progress: Progress) => void} onProgress
   */
  async #measured(place, onProgress) {
    const workers = this.#together();
    const parts = workers.length;
    if (parts === 1) return [];
    const done = Array(parts).fill(0);
    /** @type {import("./types.d.ts").ModuleRow[]} */
    let rows = [];
    let told = performance.now();
    const tell = () => {
      told = performance.now();
      onProgress({ done: (LAYERS * done.reduce((sum, share) => sum + share)) / parts, rows });
      rows = [];
    };
    const read = workers.map((worker, part) =>
      worker
        .measure(place, part, parts, (progress) => {
          done[part] = progress.done;
          rows.push(...progress.rows);
          if (performance.now() - told >= PAUSE) tell();
        })
        .catch((error) => {
          if (error.kind === "cancelled") throw error;
          return [];
        }),
    );
    try {
      return (await Promise.all(read)).flat();
    } finally {
      tell();
      this.#end(workers);
    }
  }

  /** Asks what is read to stop: it then rejects with kind "cancelled". */
  stop() {
    for (const worker of [this.#inspector, ...this.#helpers]) void worker.stopReading();
  }
}
