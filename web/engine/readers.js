/** A file -> its report, its numbers read by several workers at once. */

/** @typedef {import("./client.js").EngineClient} EngineClient */
/** @typedef {import("./protocol.js").Place} Place */
/** @typedef {{ done: number, rows: import("./types.d.ts").ModuleRow[] }} Progress `done` is 0 to 1 of all work */

/** Bytes below which one worker is done before others have started. */
const SMALL = 24 << 20;
/** Workers at most: each takes memory. */
const MOST = 4;
/** The share of the work that layers take; hashes take the rest. */
const LAYERS = 0.5;

export class Readers {
  #client;
  #another;
  /** @type {EngineClient[]} */
  #helpers = [];

  /**
   * @param {EngineClient} client makes the report
   * @param {() => EngineClient} another makes one that helps to read
   */
  constructor(client, another) {
    this.#client = client;
    this.#another = another;
  }

  /** @param {Place} place @param {(progress: Progress) => void} onProgress @returns {Promise<import("./types.d.ts").Inspected>} */
  async inspect(place, onProgress) {
    const known = "file" in place && place.file.size >= SMALL ? await this.#measured(place, onProgress) : [];
    return this.#client.inspect(place, known, ({ done, hashing, rows }) => {
      onProgress({ done: hashing ? LAYERS + (1 - LAYERS) * done : LAYERS * done, rows });
    });
  }

  /** The numbers of every part; of one whose worker broke, none, so that the report reads them. @param {Place} place @param {(progress: Progress) => void} onProgress */
  async #measured(place, onProgress) {
    const parts = Math.min(MOST, navigator.hardwareConcurrency || 1);
    if (parts === 1) return [];
    while (this.#helpers.length < parts - 1) this.#helpers.push(this.#another());
    const done = Array(parts).fill(0);
    const read = [this.#client, ...this.#helpers].map((worker, part) =>
      worker
        .measure(place, part, parts, (progress) => {
          done[part] = progress.done;
          const all = done.reduce((sum, share) => sum + share) / parts;
          onProgress({ done: LAYERS * all, rows: progress.rows });
        })
        .catch((error) => {
          if (error.kind === "cancelled") throw error;
          return [];
        }),
    );
    return (await Promise.all(read)).flat();
  }

  /** Asks what is read to stop: it then rejects with kind "cancelled". */
  stop() {
    for (const worker of [this.#client, ...this.#helpers]) void worker.stopReading();
  }

  /** Ends the workers that only read. */
  rest() {
    for (const helper of this.#helpers.splice(0)) helper.end();
  }
}
