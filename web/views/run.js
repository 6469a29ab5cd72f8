/** Act two, Run: the form on one side, the pictures on the other; or, without WebGPU, what to do about it. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../format.js";
import { entryById, fitsModel, textWidth, usable } from "../select.js";
import { formView } from "./form.js";
import { messageView } from "./message.js";
import { progressView } from "./progress.js";
import { resultView } from "./result.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function runView(state, send) {
  const { gpu, demo, run } = state;
  return html`
    <section id="run" aria-labelledby="run-title" data-testid="run" data-status=${run.status}>
      <header class="act">
        <p class="act-name">Run</p>
        <h2 id="run-title">Draw with it</h2>
        ${demo.catalogue ? html`<p class="fine">${modelLine(demo)}</p>` : nothing}
      </header>
      ${gpu.status === "missing"
        ? missingView(gpu.error)
        : html`
            ${unfitView(state)}
            <div class="card studio">
              ${formView(state, send)}
              <div class="stage">
                ${run.status === "idle" ? nothing : progressView(run, demo, send)}
                ${run.error ? messageView({ title: "No picture was made", severity: "refuse", ...run.error }) : nothing}
                ${resultView(state, send)}
              </div>
            </div>
            ${gpu.status === "ready" && gpu.info.software
              ? html`<p class="fine" data-testid="software">Software rendering (${gpu.info.adapter}): it works, but slowly.</p>`
              : nothing}
          `}
    </section>
  `;
}

/** @param {State["demo"]} demo */
function modelLine({ catalogue, model }) {
  const { name, files, defaults } = /** @type {NonNullable<typeof catalogue>} */ (catalogue);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const size = model ? `${(model.parameters / 1e6).toFixed(1)} million parameters` : `${formatBytes(bytes)}, loaded when first used`;
  return `With the bundled ${name}, a miniature of Stable Diffusion: ${defaults.width} × ${defaults.height} pixels, ${size}.`;
}

/** A dropped LoRA for full-size models cannot run on the miniature: say so before it is tried. @param {State} state */
function unfitView(state) {
  const entry = entryById(state, state.selected);
  const { catalogue } = state.demo;
  if (!entry?.report || !catalogue || !usable(entry) || fitsModel(state, entry.report)) return nothing;
  return messageView({
    severity: "warn",
    kind: "unfit",
    title: "This file does not fit the demo model",
    message: `It was trained on text features ${textWidth(entry.report)} numbers wide; the bundled miniature has ${catalogue.text_width}. Its report is complete, but here only LoRAs of the miniature's size can draw: the demo's own are in the list.`,
  });
}

/** @param {import("../engine/types.d.ts").EngineError} error */
function missingView({ kind, message }) {
  if (kind !== "no_webgpu") return messageView({ title: "Nothing can be drawn just now", message, kind, severity: "refuse" });
  return html`
    <div class="message warn" role="note" data-testid="no-webgpu" data-kind=${kind}>
      <div>
        <p class="message-title">Drawing needs WebGPU, and this browser gives none</p>
        <p>The report above works all the same. To draw as well, open this page over https (or on localhost) in one of these:</p>
        <ul>
          <li>Chrome or Edge 113 and later on Windows, macOS and ChromeOS, 121 and later on Android</li>
          <li>Safari 26 and later</li>
          <li>Firefox 141 and later on Windows, 145 and later on macOS</li>
          <li>
            Chrome on Linux, or where the graphics card is refused: switch on <code>chrome://flags/#enable-unsafe-webgpu</code> and
            check that “Use graphics acceleration” is on in the settings
          </li>
        </ul>
        <p class="fine">The browser says: ${message}</p>
      </div>
    </div>
  `;
}
