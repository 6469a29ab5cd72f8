/** Files besides the LoRAs that a recipe calls -> known to the engine's worker. */

import { keptOf } from "../files/opened.js";
import { withoutExtension } from "../select.js";

/**
 * Textual inversions and the upscaler.
 * @param {import("../engine/engine.js").EngineClient} engine
 * @param {import("../types.d.ts").State} state
 * @param {import("../engine/types.d.ts").Recipe} recipe
 */
export async function rememberCalled(engine, { files }, { embeddings = [], hires }) {
  const isCalled = (/** @type {import("../types.d.ts").Entry} */ { name, report }) =>
    embeddings.some(({ sha256 }) => report?.sha256 === sha256) ||
    (report?.kind === "upscaler" && withoutExtension(name) === hires?.network);
  for (const { id, report } of files.filter(isCalled)) {
    const kept = keptOf(id);
    if (kept && report && !engine.known.has(report.sha256)) await engine.remember(report.sha256, kept);
  }
}
