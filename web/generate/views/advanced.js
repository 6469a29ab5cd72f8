/** What most images need no change of: schedule, noise, program, a second pass, clip skip. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { t } from "../../words.js";
import { checkInto, choiceField, numberField } from "../../ui/fields.js";

/** @typedef {import("../../types.d.ts").Form} Form */

/** Schedules that only the web UIs have. @type {[string, string][]} */
const WEB_UI_SCHEDULES = [
  ["polyexponential", "Polyexponential"], ["kl_optimal", "KL Optimal"], ["ddim_uniform", "DDIM uniform"], ["linear_quadratic", "Linear quadratic"],
];

/** @param {Form} form @param {import("../../engine/types.d.ts").ModelInfo | null} info @param {(change: Partial<Form>) => void} change */
export function advancedView(form, info, change) {
  const isFresh = info?.fresh.includes(form.sampler);
  const eta = (/** @type {{ eta?: number }} */ { eta }) => eta !== undefined && change({ eta });
  return html`
    <details class="advanced" id="advanced">
      <summary>${t("advanced.title")}</summary>
      <div class="inside numbers">
        ${choiceField(t("advanced.schedule"), "schedule", form.schedule, [
          ["", t("option.models")], ["timesteps", t("option.timesteps")], ["karras", "Karras"], ["exponential", t("option.exponential")],
          ["sgm_uniform", "SGM uniform"], ["simple", t("option.simple")], ["beta", "beta"], ["ays", "Align Your Steps"],
          ...(form.program === "diffusers" ? [] : WEB_UI_SCHEDULES),
        ], change)}
        ${choiceField(t("advanced.spacing"), "spacing", form.spacing, [
          ["", t("option.models")], ["leading", t("option.leading")], ["linspace", t("option.linspace")], ["trailing", t("option.trailing")],
        ], change)}
        <div class="whole">
          ${choiceField(t("advanced.noise"), "rng", form.rng, [
            ["torch", t("advanced.torch")], ["philox", "Philox"],
          ], change)}
          <p class="fine">${form.rng === "torch" ? t("advanced.torch_says") : t("advanced.philox_says")}</p>
        </div>
        <div class="whole">
          ${choiceField(t("advanced.program"), "program", form.program, [
            ["diffusers", "diffusers"], ["a1111", "AUTOMATIC1111"], ["comfyui", "ComfyUI"],
          ], change)}
          <p class="fine">
            ${form.program === "diffusers"
              ? t("advanced.diffusers_says")
              : t("advanced.web_ui_says")}
          </p>
        </div>
        ${isFresh
          ? html`${numberField(t("advanced.eta"), "eta", form.eta ?? usualEta(form.sampler), { min: 0, max: 1, step: 0.05, mode: "decimal" }, eta)}
              <p class="fine beside">${t("advanced.eta_says")}</p>`
          : nothing}
        ${secondPassView(form, change)}
        <label class="check whole">
          <input type="checkbox" id="preview" .checked=${live(form.preview)} @change=${checkInto("preview", change)} />
          ${t("advanced.preview")}
        </label>
        ${numberField(t("advanced.clip_skip"), "clipSkip", form.clipSkip, { min: 1, max: 12, step: 1 }, change)}
        <p class="fine beside">${t("advanced.clip_says")}</p>
      </div>
    </details>
  `;
}

/** A second pass over the image at a larger size. @param {Form} form @param {(change: Partial<Form>) => void} change */
function secondPassView(form, change) {
  return html`
    <div class="whole">
      ${choiceField(t("advanced.hires"), "hires", form.hires, [
        ["", t("option.none")], ["latent", t("advanced.latent")], ["pixels", t("advanced.pixels")],
      ], change)}
      ${form.hires
        ? html`<p class="fine">
            ${form.hires === "latent"
              ? t("advanced.latent_says")
              : t("advanced.pixels_says")}
          </p>`
        : nothing}
    </div>
    ${form.hires
      ? html`${numberField(t("advanced.times"), "hiresScale", form.hiresScale, { min: 1.05, max: 4, step: 0.05, mode: "decimal" }, change)}
          ${numberField(t("advanced.change"), "hiresDenoise", form.hiresDenoise, { min: 0, max: 1, step: 0.05, mode: "decimal" }, change)}
          ${numberField(t("advanced.pass_steps"), "hiresSteps", form.hiresSteps, { min: 0, max: 100, step: 1 }, change)}
          <p class="fine beside">${t("advanced.pass_steps_says")}</p>`
      : nothing}
  `;
}

/** What a sampler takes unless it is told. @param {string} sampler */
function usualEta(sampler) {
  return sampler === "ddim" || sampler === "tcd" ? 0 : 1;
}
