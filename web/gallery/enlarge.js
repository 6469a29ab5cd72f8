/** An image -> the same, larger by the upscaler that was opened last, among the user's downloads; loaded on demand. */

import { onAbort } from "../core/jobs.js";
import { keptOf } from "../files/opened.js";
import { t } from "../words.js";
import { saveDrawing } from "./save.js";

/**
 * @param {{
 *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
 *   getState: () => import("../types.d.ts").State,
 * }} world
 * @param {import("./save.js").Drawing} drawing
 */
export async function enlarge({ engine, jobs, getState }, drawing) {
  const entry = getState().files.findLast(({ report }) => report?.kind === "upscaler");
  const place = entry && keptOf(entry.id);
  if (!entry?.report || !place) throw { kind: "unusable", message: t("tools.no_upscaler") };
  const { sha256 } = entry.report;
  const { image, recipe } = drawing;
  const job = jobs.start({
    ...{ lane: "gpu", kind: "enlarge", name: entry.name, same: "refuse" },
    run: async (signal, progress) => {
      if (!engine.known.has(sha256)) await engine.remember(sha256, place);
      const given = { recipe, sha256, rgba: image.rgba, width: image.width };
      return onAbort(
        signal,
        () => engine.cancel(),
        () => engine.enlarge(given, ({ step, steps }) => progress(step / steps)),
      );
    },
  });
  return job && saveDrawing({ ...drawing, image: await job.done });
}
