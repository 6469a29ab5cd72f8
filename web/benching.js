/** The measurement of the visitor's graphics card, kernel by kernel, until it is done or stopped. */

import { asError } from "./engine/protocol.js";

/** @param {{ client: import("./engine/client.js").EngineClient, send: import("./types.d.ts").Send, getState: () => import("./types.d.ts").State }} world */
export function createBenching({ client, send, getState }) {
  let stopped = false;

  async function run() {
    if (getState().run.status !== "idle") return send({ type: "bench/ended", error: null });
    stopped = false;
    try {
      const info = await client.gpu();
      // A software renderer has minutes of work with the shapes of published models.
      const full = !info.software;
      const names = await client.benchNames(full);
      const adapter = `${info.adapter} (${info.backend})`;
      const measured = (/** @type {import("./engine/types.d.ts").Row[]} */ rows) =>
        send({ type: "bench/measured", adapter, rows, all: names.length + 2 });
      measured(await client.benchRoof());
      for (const name of names) {
        if (stopped) break;
        measured([await client.benchCase(full, name)]);
      }
      send({ type: "bench/ended", error: null });
    } catch (thrown) {
      send({ type: "bench/ended", error: asError(thrown) });
    }
  }

  return { run, stop: () => void (stopped = true) };
}
