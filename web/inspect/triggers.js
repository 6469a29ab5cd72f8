/** A LoRA and the open base model -> the words to which it answers; loaded on demand. */

import { orAbort } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { keptOf } from "../files/opened.js";
import { t } from "../words.js";

/** Words on show. */
const MOST = 20;

/**
 * @param {{
 *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
 *   model: { open: () => Promise<void> },
 * }} world
 * @param {import("../types.d.ts").Entry} entry
 * @param {(done: number) => void} tell
 * @returns {Promise<import("../engine/types.d.ts").RankedWords>}
 */
export async function findTriggers({ engine, jobs, model }, { id, name, report }, tell) {
  const place = keptOf(id);
  if (!report || !place) throw { kind: "unusable", message: t("error.no_lora") };
  const { sha256, training } = report;
  const hints = [
    ...(training?.trigger_words ?? []).map(({ text }) => text),
    ...(training?.tags ?? []).map(({ tag }) => tag),
  ];
  const job = jobs.start({
    ...{ lane: "gpu", kind: "triggers", name, same: "replace", priority: 1 },
    run: async (signal, progress) => {
      await orAbort(signal, model.open());
      if (!engine.known.has(sha256)) await engine.remember(sha256, place);
      const hear = (/** @type {import("../engine/types.d.ts").PageProgress} */ { stage, step, steps }) => {
        if (stage !== "text" || steps < 2) return;
        progress(step / steps);
        tell(step / steps);
      };
      return onAbort(
        signal,
        () => engine.cancel(),
        () => engine.findTriggers(sha256, hints, MOST, hear),
      );
    },
  });
  if (!job) throw { kind: "cancelled", message: "" };
  return job.done;
}
