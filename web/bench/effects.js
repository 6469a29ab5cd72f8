/** The measurement of the user's graphics card, kernel by kernel, until it is done or stopped. */

import { asError, isCancelled } from "../core/errors.js";
import { download } from "../world.js";
import { benchFile } from "./state.js";

/**
 * @param {{
 *   client: import("../engine/client.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
 *   send: import("../types.d.ts").Send,
 * }} world
 */
export function createBenching({ client, jobs, send }) {
  /** @param {AbortSignal} signal @param {(done: number) => void} progress */
  async function measure(signal, progress) {
    const info = await client.gpu();
    // A software renderer has minutes of work with the shapes of published models.
    const full = !info.software;
    const names = await client.benchNames(full);
    const adapter = `${info.adapter} (${info.backend})`;
    const measured = (/** @type {import("../engine/types.d.ts").Row[]} */ rows) => {
      if (!signal.aborted) send({ type: "bench/measured", adapter, rows, all: names.length + 2 });
    };
    measured(await client.benchRoof());
    for (const [at, name] of names.entries()) {
      signal.throwIfAborted();
      progress(at / names.length);
      measured([await client.benchCase(full, name)]);
    }
  }

  function run() {
    const job = jobs.start({ lane: "gpu", kind: "bench", same: "refuse", priority: 2, run: measure });
    job?.done.then(
      () => send({ type: "bench/ended", error: null }),
      (thrown) => send({ type: "bench/ended", error: isCancelled(thrown) ? null : asError(thrown) }),
    );
  }

  /** @param {import("../types.d.ts").Bench} bench @returns {string} the file's name */
  const save = (bench) => download("lora-loupe-bench.json", new Blob([benchFile(bench)], { type: "application/json" }));

  return { run, stop: () => jobs.cancelAll("bench"), save };
}
