/** Where images are computed, the choice, and how to get to the graphics card. */

import { html, nothing } from "lit-html";
import { formatSeconds } from "../../core/format.js";
import { sizeStep } from "../../select.js";
import { rich, t } from "../../words.js";
import { SMALL } from "../state.js";
import { weightsView } from "./weights.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

const CHOICES = /** @type {const} */ ([
  ["auto", "device.auto"],
  ["gpu", "device.gpu"],
  ["cpu", "device.cpu"],
]);

/** Seconds from which small images are offered. */
const LONG = 60;

/** Below the images. @param {State} state @param {Send} send */
export function deviceView(state, send) {
  const { device, run } = state;
  const { choice, info } = device;
  const choose = (/** @type {Event} */ { target }) =>
    send({ type: "device/chosen", choice: /** @type {any} */ (/** @type {HTMLSelectElement} */ (target).value) });
  return html`
    <div class="device" data-testid="device" data-device=${info ? (info.gpu ? "gpu" : "cpu") : "none"}>
      <p class="fine">${info ? line(info) : t("form.checking")}</p>
      <label class="field">
        <span>${t("device.label")}</span>
        <select id="device" ?disabled=${run.status !== "idle" || device.status === "checking"} @change=${choose}>
          ${CHOICES.map(
            ([name, label]) => html`<option value=${name} ?selected=${name === choice}>${t(label)}</option>`,
          )}
        </select>
      </label>
      ${weightsView(state, send)} ${info?.reason ? helpView(info.reason) : nothing}
    </div>
  `;
}

/** @param {import("../../types.d.ts").DeviceInfo} info */
function line({ gpu, reason }) {
  if (!gpu) return reason ? t("device.on_cpu_because", { reason }) : t("device.on_cpu");
  return t(gpu.software ? "run.software" : "device.on_gpu", { adapter: gpu.adapter });
}

/** What the form's images take on a processor; smaller ones are offered. @param {State} state @param {Send} send */
export function estimateView(state, send) {
  const { device, form, base } = state;
  if (device.seconds === null || device.info?.gpu) return nothing;
  const step = sizeStep(state);
  const small = {
    steps: Math.min(SMALL.steps, form.steps),
    width: Math.min(SMALL.width, form.width),
    height: Math.min(SMALL.height, form.height),
  };
  const isOffered =
    device.seconds > LONG &&
    base.chosen !== "demo" &&
    SMALL.width % step === 0 &&
    small.width * small.height * small.steps < form.width * form.height * form.steps;
  return html`<p class="fine" data-testid="estimate">
    ${t("device.takes", { time: formatSeconds(Math.max(1, device.seconds)) })}
    ${(base.info?.workers ?? 1) > 1 && form.guidance > 1 ? t("device.two_workers") : nothing}
    ${
      isOffered
        ? html`<button
            class="button small"
            type="button"
            id="small"
            @click=${() => send({ type: "form/changed", change: small })}
          >
            ${t("device.small", small)}
          </button>`
        : nothing
    }
  </p>`;
}

/** @param {string} reason in the browser's words */
function helpView(reason) {
  return html`
    <details data-testid="no-webgpu">
      <summary>${t("webgpu.title")}</summary>
      <p>${t("webgpu.says")}</p>
      <ul>
        <li>${t("webgpu.chrome")}</li>
        <li>${t("webgpu.safari")}</li>
        <li>${t("webgpu.firefox")}</li>
        <li>${rich("webgpu.flag", { code: (/** @type {string} */ text) => html`<code>${text}</code>` })}</li>
      </ul>
      <p class="fine">${t("webgpu.reason", { message: reason })}</p>
    </details>
  `;
}
