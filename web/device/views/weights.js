/** How the weights of the user's own models are stored: the choice, the memory that an image takes, and the reason. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../../core/format.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../../engine/types.d.ts").WeightChoice} WeightChoice */

const CHOICES = /** @type {const} */ ([
  ["auto", "weights.auto"],
  ["f16", "weights.f16"],
  ["q8", "weights.q8"],
  ["q4", "weights.q4"],
  ["streamed", "weights.streamed"],
]);

/** What each way means. */
const MEANS = /** @type {const} */ ({
  auto: "weights.auto_means",
  f16: "weights.f16_means",
  q8: "weights.q8_means",
  q4: "weights.q4_means",
  streamed: "weights.streamed_means",
});

/** Where the memory is known from. */
const FROM = /** @type {const} */ ({
  page: "weights.page",
  computer: "weights.computer",
  nothing: "weights.nothing",
});

/** The demo's weights are few. @param {State} state @param {Send} send */
export function weightsView({ base, device, run }, send) {
  if (base.chosen === "demo") return nothing;
  const choose = (/** @type {Event} */ { target }) =>
    send({ type: "weights/chosen", weights: /** @type {any} */ (/** @type {HTMLSelectElement} */ (target).value) });
  return html`
    <label class="field">
      <span>${t("weights.label")}</span>
      <select id="weights" ?disabled=${run.status !== "idle" || device.status === "checking"} @change=${choose}>
        ${CHOICES.map(
          ([name, label]) => html`<option value=${name} ?selected=${name === device.weights}>${t(label)}</option>`,
        )}
      </select>
    </label>
    ${base.info ? storedView(base.info, device) : nothing}
  `;
}

/** @param {import("../../engine/types.d.ts").ModelInfo} info @param {State["device"]} device */
function storedView({ storage, width, height }, device) {
  const { weights, needs } = storage;
  const index = needs.findIndex((need) => need.weights === weights);
  const size = `${width} × ${height}`;
  const better = device.weights === "auto" ? needs[index - 1] : undefined;
  return html`<p class="fine" data-testid="weights" data-weights=${weights}>
    ${t(MEANS[weights], { size, bytes: formatBytes(needs[index].bytes) })}
    ${better && device.info ? reason(better, device.info.memory) : nothing}
    ${weights === "auto" || weights === "streamed" ? nothing : t("weights.again")}
    ${device.info && needs[index].bytes > device.info.memory.bytes ? t("weights.too_much") : nothing}
  </p>`;
}

/**
 * @param {import("../../engine/types.d.ts").StorageNeed} better
 * @param {import("../../types.d.ts").DeviceMemory} memory
 */
function reason({ weights, bytes }, { bytes: has, from }) {
  const more = t(weights === "auto" ? "weights.with_copies" : "weights.more", { bytes: formatBytes(bytes), weights });
  return `${more} ${t(FROM[from], { bytes: formatBytes(has) })}`;
}
