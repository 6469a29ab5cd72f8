/** Act two, Run: the form on one side, the pictures on the other; or, without WebGPU, what to do about it. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../format.js";
import { entryById, firstChannels, fitsModel, textWidth, usable } from "../select.js";
import { formView } from "./form.js";
import { gridView } from "./grid.js";
import { historyView } from "./history.js";
import { messageView } from "./message.js";
import { progressView } from "./progress.js";
import { resultView } from "./result.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function runView(state, send) {
  const { gpu, demo, run, remark } = state;
  return html`
    <section id="run" aria-labelledby="run-title" data-testid="run" data-status=${run.status}>
      <header class="act">
        <p class="act-name">Run</p>
        <h2 id="run-title">Draw with it</h2>
        <p class="fine">${modelLine(state)}</p>
      </header>
      ${gpu.status === "missing"
        ? missingView(gpu.error)
        : html`
            ${remark ? remarkView(remark, send) : nothing} ${unfitView(state)}
            <div class="card studio">
              ${formView(state, send)}
              <div class="stage">
                ${run.status === "idle" || run.live || run.grid ? nothing : progressView(run, demo, send)}
                ${run.error ? messageView({ title: "No picture was made", severity: "refuse", ...run.error }) : nothing}
                ${resultView(state, send)} ${run.live ? liveView(state, send) : nothing}
              </div>
            </div>
            ${gridView(state, send)} ${historyView(state, send)}
            ${gpu.status === "ready" && gpu.info.software
              ? html`<p class="fine" data-testid="software">Software rendering (${gpu.info.adapter}): it works, but slowly.</p>`
              : nothing}
          `}
    </section>
  `;
}

/** Below the pictures, whose place it must not move. @param {State} state @param {Send} send */
function liveView({ run, demo }, send) {
  return run.status === "idle" ? nothing : progressView(run, demo, send);
}

/** @param {State} state */
function modelLine({ base, demo }) {
  const { info } = base;
  if (base.chosen !== "demo") {
    return info ? `With your ${info.name}: ${info.label}, made for ${info.width} × ${info.height} pixels, ${millions(info)}.` : nothing;
  }
  if (!demo.catalogue) return nothing;
  const { name, files, defaults } = demo.catalogue;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const size = info ? millions(info) : `${formatBytes(bytes)}, loaded when first used`;
  return `With the bundled ${name}, a miniature of Stable Diffusion: ${defaults.width} × ${defaults.height} pixels, ${size}.`;
}

/** @param {import("../engine/types.d.ts").ModelInfo} info */
function millions({ parameters }) {
  return `${(parameters / 1e6).toFixed(1)} million parameters`;
}

/** @param {NonNullable<State["remark"]>} remark @param {Send} send */
function remarkView({ kind, severity, title, message, details, picture }, send) {
  const list = details.length ? html`<ul>${details.map((detail) => html`<li>${detail}</li>`)}</ul>` : nothing;
  const take = picture
    ? html`<p class="offer">
        <img src=${picture.url} alt="" width="56" height="56" />
        <button class="button small" type="button" id="start-from" @click=${() => send({ type: "start/taken", start: picture })}>Start from it</button>
      </p>`
    : nothing;
  const dismiss = () => send({ type: "remark/made", remark: null });
  return messageView({ kind, severity, title, message, extra: html`${list} ${take}`, dismiss });
}

/** A LoRA for models of another kind is named before it is tried. @param {State} state */
function unfitView(state) {
  const entry = entryById(state, state.selected);
  const { base, demo } = state;
  if (!entry?.report || !demo.catalogue || !usable(entry) || fitsModel(state, entry.report)) return nothing;
  if (base.chosen !== "demo" && entry.id.startsWith("demo:")) return nothing; // of the bundled model, as everybody can see
  const look = { severity: /** @type {const} */ ("warn"), kind: "unfit" };
  if (base.chosen !== "demo") {
    const message = `It was made for ${entry.report.base.label}; the base model is ${base.info?.label}. Its report is complete, but it can only change models of its own kind.`;
    return messageView({ ...look, title: "This file does not fit the base model", message });
  }
  return messageView({
    ...look,
    title: "This file does not fit the demo model",
    message: `${sizes(entry.report, demo.catalogue)} Its report is complete. To draw with it, choose a model of your own that it was made for, under Base model; the demo has LoRAs of its own in the list.`,
  });
}

/** @param {import("../engine/types.d.ts").Report} report @param {import("../types.d.ts").DemoCatalogue} catalogue */
function sizes(report, { text_width, channels }) {
  const width = textWidth(report);
  return width === null || width === text_width
    ? `It changes a UNet that begins with ${firstChannels(report)} channels; the bundled miniature begins with ${channels}.`
    : `It was trained on text features ${width} numbers wide; the bundled miniature has ${text_width}.`;
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
