/** A run -> one line: what is done now, how far, how long still, and the way to stop it. */

import { html, nothing } from "lit-html";
import { formatBytes, formatSeconds } from "../format.js";
import { overallProgress } from "../select.js";

/** @typedef {import("../types.d.ts").State} State */

/** @param {State["run"]} run @param {State["demo"]} demo @param {import("../types.d.ts").Send} send */
export function progressView(run, demo, send) {
  const downloading = !run.progress && demo.status === "loading";
  const { done, secondsLeft } = overallProgress(run);
  const value = downloading ? demo.received / Math.max(1, demo.total) : done;
  const what = run.status === "cancelling" ? "Cancelling…" : downloading ? downloadLine(demo) : stageLine(run);
  return html`
    <div class="progress" data-testid="progress">
      <div>
        <p id="progress-what">${what}</p>
        <progress max="1" .value=${value} aria-labelledby="progress-what"></progress>
        <p class="fine">${secondsLeft === null || run.status === "cancelling" ? nothing : `about ${formatSeconds(secondsLeft)} left`}</p>
      </div>
      ${run.progress?.preview && !run.live
        ? html`<pixel-picture
            class="forming" smooth .room=${96} .picture=${run.progress.preview} label="What the picture may become" data-testid="preview"
          ></pixel-picture>`
        : nothing}
      <button
        class="button" type="button" id="cancel" aria-disabled=${run.status === "cancelling" ? "true" : "false"}
        @click=${() => send({ type: "run/cancel" })}
      >
        Cancel
      </button>
    </div>
  `;
}

/** @param {State["demo"]} demo */
function downloadLine({ received, total }) {
  if (received >= total) return "Opening the demo model…";
  return `Loading the demo model: ${formatBytes(received)} of ${formatBytes(total)}`;
}

/** @param {State["run"]} run */
function stageLine({ picture, pictures, progress }) {
  const which = pictures > 1 ? `Picture ${picture} of ${pictures}: ` : "";
  return which + stage(progress);
}

/** @param {State["run"]["progress"]} progress */
function stage(progress) {
  switch (progress?.stage) {
    case "load":
      return "loading the weights";
    case "text":
      return "reading the prompt";
    case "adapters":
      return "applying the LoRA";
    case "denoise":
      return `step ${progress.step} of ${progress.steps}`;
    case "decode":
      return "turning it into pixels";
    default:
      return "getting ready";
  }
}
