/** The measurement of the user's graphics card, kernel by kernel, until it is done or stopped. */

import { asError, isCancelled } from "../core/errors.js";
import { download } from "../world.js";
import { benchFile } from "./state.js";

/** @typedef {import("../types.d.ts").State} State */

/** What measures the graphics card. */
export class Bench {
  #engine;
  #jobs;
  #send;
  #getState;
  #messages;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
   *   send: import("../types.d.ts").Send, getState: () => State, messages: import("../app/messages.js").Messages,
   * }} world
   */
  constructor({ engine, jobs, send, getState, messages }) {
    this.#engine = engine;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
  }

  /** @param {AbortSignal} signal @param {(done: number) => void} progress */
  async #measure(signal, progress) {
    const info = await this.#engine.gpu();
    // A software renderer has minutes of work with the shapes of published models.
    const full = !info.software;
    const names = await this.#engine.benchNames(full);
    const adapter = `${info.adapter} (${info.backend})`;
    const measured = (/** @type {import("../engine/types.d.ts").Row[]} */ rows) => {
      if (!signal.aborted) this.#send({ type: "bench/measured", adapter, rows, all: names.length + 2 });
    };
    measured(await this.#engine.benchRoof());
    for (const [at, name] of names.entries()) {
      signal.throwIfAborted();
      progress(at / names.length);
      measured([await this.#engine.benchCase(full, name)]);
    }
  }

  #run() {
    const job = this.#jobs.start({
      ...{ lane: "gpu", kind: "bench", same: "refuse", priority: 2 },
      run: (signal, progress) => this.#measure(signal, progress),
    });
    job?.done.then(
      () => this.#send({ type: "bench/ended", error: null }),
      (thrown) => this.#send({ type: "bench/ended", error: isCancelled(thrown) ? null : asError(thrown) }),
    );
  }

  /** @returns {string} the file's name */
  #save() {
    const file = new Blob([benchFile(this.#getState().bench)], { type: "application/json" });
    return download("lora-loupe-bench.json", file);
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "bench/run":
        return this.#run();
      case "bench/stop":
        return this.#jobs.cancelAll("bench");
      case "bench/save":
        return void this.#messages.saved(() => this.#save());
    }
  }
}
