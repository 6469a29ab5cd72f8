/** A run -> one line: what is done now, how far, how long still, and the way to stop it. */

import { html, nothing } from "lit-html";
import { formatBytes, formatSeconds } from "../../core/format.js";
import { overallProgress } from "../../select.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */

/** @param {State["run"]} run @param {State["demo"]} demo @param {import("../../types.d.ts").Send} send */
export function progressView(run, demo, send) {
  const downloading = !run.progress && demo.status === "loading";
  const { done, secondsLeft } = overallProgress(run);
  const value = downloading ? demo.received / Math.max(1, demo.total) : done;
  const what =
    run.status === "cancelling" ? t("progress.cancelling") : downloading ? downloadLine(demo) : stageLine(run);
  return html`
    <div class="progress" data-testid="progress">
      <div>
        <p id="progress-what">${what}</p>
        <progress max="1" .value=${value} aria-labelledby="progress-what"></progress>
        <p class="fine">
          ${
            secondsLeft === null || run.status === "cancelling"
              ? nothing
              : t("progress.left", { seconds: formatSeconds(secondsLeft) })
          }
        </p>
      </div>
      ${
        run.progress?.preview && !run.live
          ? html`<pixel-image
              class="forming"
              smooth
              .room=${96}
              .image=${run.progress.preview}
              label=${t("progress.preview")}
              data-testid="preview"
            ></pixel-image>`
          : nothing
      }
      ${
        run.progress?.stage === "tune"
          ? html`<button
              class="button"
              type="button"
              id="skip-tuning"
              @click=${() => send({ type: "run/skip_tuning" })}
            >
              ${t("button.skip_tuning")}
            </button>`
          : nothing
      }
      <button
        class="button"
        type="button"
        id="cancel"
        aria-disabled=${run.status === "cancelling" ? "true" : "false"}
        @click=${() => send({ type: "run/cancel" })}
      >
        ${t("button.cancel")}
      </button>
    </div>
  `;
}

/** @param {State["demo"]} demo */
function downloadLine({ received, total }) {
  if (received >= total) return t("progress.opening");
  return t("progress.loading", { received: formatBytes(received), total: formatBytes(total) });
}

/** @param {State["run"]} run */
function stageLine({ image, images, progress }) {
  return images > 1 ? t("progress.image", { at: image, all: images, stage: stage(progress) }) : stage(progress);
}

/** @param {State["run"]["progress"]} progress */
function stage(progress) {
  switch (progress?.stage) {
    case "tune":
      return t("progress.tune", { done: progress.step, all: progress.steps });
    case "load":
      return t("progress.weights");
    case "text":
      return t("progress.text");
    case "adapters":
      return t("progress.adapters");
    case "denoise":
      return t("progress.step", { step: progress.step, steps: progress.steps });
    case "decode":
      return t("progress.decode");
    case "upscale":
      return t("progress.upscale", { done: progress.step, all: progress.steps });
    default:
      return t("progress.ready");
  }
}
