/** The image to start from: a place to drop it, or what was dropped, how far to go from it and where. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { formatFixed } from "../../core/format.js";
import { t } from "../../words.js";
import { OPTIONS } from "../options.js";
import { optionsView } from "./options.js";
import { fileInto, numberInto } from "../../ui/fields.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").Form} Form */
/** @typedef {import("../../types.d.ts").Send} Send */

/**
 * @param {import("../../types.d.ts").State} state
 * @param {(change: Partial<Form>) => void} change
 * @param {Send} send
 */
export function startView(state, change, send) {
  const { start, mask, form } = state;
  const { denoise } = form;
  if (!start) {
    return html`<div class="slot" id="start" data-drop="start">
      <label class="button small">
        <input
          class="visually-hidden"
          id="pick-start"
          type="file"
          accept="image/*"
          @change=${fileInto((file) => send({ type: "start/picked", file }))}
        />
        ${t("start.pick")}
      </label>
      <span class="fine">${t("start.drop")}</span>
    </div>`;
  }
  return html`<div class="slot filled" id="start" data-drop="start" data-testid="start">
    <img src=${start.url} alt=${t("start.alt")} width="56" height="56" />
    <p class="taken">
      <bdi>${start.name}</bdi>
      <button
        class="quiet"
        type="button"
        id="remove-start"
        aria-label=${t("start.remove", { name: start.name })}
        @click=${() => send({ type: "start/taken", start: null })}
      >
        ${cross}
      </button>
    </p>
    <label class="field">
      <span>${t("start.change")} <output>${formatFixed(denoise)}</output></span>
      <input
        type="range"
        id="denoise"
        min=${OPTIONS.denoise.min}
        max=${OPTIONS.denoise.max}
        step=${OPTIONS.denoise.step}
        aria-describedby="denoise-ends"
        .value=${live(String(denoise))}
        @input=${numberInto("denoise", change)}
      />
      <span class="fine" id="denoise-ends">${t("start.ends")}</span>
    </label>
    ${maskView(mask, send)}
    ${mask ? html`<div class="numbers">${optionsView("mask", state, change, {})}</div>` : nothing}
  </div>`;
}

/** @param {import("../../types.d.ts").State["mask"]} mask @param {Send} send */
function maskView(mask, send) {
  if (!mask) {
    return html`<p class="taken">
      <label class="button small">
        <input
          class="visually-hidden"
          id="pick-mask"
          type="file"
          accept="image/*"
          @change=${fileInto((file) => send({ type: "mask/picked", file }))}
        />
        ${t("mask.pick")}
      </label>
      <span class="fine">${t("mask.help")}</span>
    </p>`;
  }
  return html`<p class="taken" data-testid="mask">
    <img src=${mask.url} alt=${t("mask.alt")} width="56" height="56" />
    <bdi>${mask.name}</bdi>
    <button
      class="quiet"
      type="button"
      id="remove-mask"
      aria-label=${t("mask.remove", { name: mask.name })}
      @click=${() => send({ type: "mask/taken", mask: null })}
    >
      ${cross}
    </button>
  </p>`;
}
