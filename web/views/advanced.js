/** What most pictures need no change of: schedule, noise, prompt syntax, a second pass, clip skip. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { checkInto, choiceField, numberField } from "./fields.js";

/** @typedef {import("../types.d.ts").Form} Form */

/** @param {Form} form @param {import("../engine/types.d.ts").ModelInfo | null} info @param {(change: Partial<Form>) => void} change */
export function advancedView(form, info, change) {
  const isFresh = info?.fresh.includes(form.sampler);
  const eta = (/** @type {{ eta?: number }} */ { eta }) => eta !== undefined && change({ eta });
  return html`
    <details class="advanced" id="advanced">
      <summary>Advanced</summary>
      <div class="inside numbers">
        ${choiceField("Schedule", "schedule", form.schedule, [
          ["", "the model’s"], ["timesteps", "timesteps"], ["karras", "Karras"], ["exponential", "exponential"],
          ["sgm_uniform", "SGM uniform"], ["simple", "simple"], ["beta", "beta"], ["ays", "Align Your Steps"],
        ], change)}
        ${choiceField("Timestep spacing", "spacing", form.spacing, [
          ["", "the model’s"], ["leading", "leading"], ["linspace", "linspace"], ["trailing", "trailing"],
        ], change)}
        <div class="whole">
          ${choiceField("Noise", "rng", form.rng, [
            ["torch", "PyTorch, on the CPU"], ["philox", "Philox"],
          ], change)}
          <p class="fine">${form.rng === "torch" ? "As diffusers, ComfyUI and A1111’s “CPU” draw it." : "As A1111’s “NV” draws it, and its graphics cards by default."}</p>
        </div>
        <div class="whole">
          ${choiceField("Prompt syntax", "syntax", form.syntax, [
            ["plain", "plain, as diffusers"], ["a1111", "A1111, with weights"],
          ], change)}
          <p class="fine">
            ${form.syntax === "plain"
              ? "Every character is part of the prompt; what is over 75 tokens is cut off."
              : "(word:1.2) weighs more, [word] less; [a:b:0.5] changes half-way; longer prompts take more chunks of 75 tokens."}
          </p>
        </div>
        ${isFresh
          ? html`${numberField("Fresh noise (eta)", "eta", form.eta ?? usualEta(form.sampler), { min: 0, max: 1, step: 0.05, mode: "decimal" }, eta)}
              <p class="fine beside">The share of new noise in each step; 0 for none.</p>`
          : nothing}
        ${secondPassView(form, change)}
        <label class="check whole">
          <input type="checkbox" id="preview" .checked=${live(form.preview)} @change=${checkInto("preview", change)} />
          Show the picture while it forms
        </label>
        ${numberField("Clip skip", "clipSkip", form.clipSkip, { min: 1, max: 12, step: 1 }, change)}
        <p class="fine beside">1 reads the text encoder’s last layer, 2 the one before.</p>
      </div>
    </details>
  `;
}

/** A second pass over the picture at a larger size. @param {Form} form @param {(change: Partial<Form>) => void} change */
function secondPassView(form, change) {
  return html`
    <div class="whole">
      ${choiceField("Second pass", "hires", form.hires, [
        ["", "none"], ["latent", "larger latents"], ["pixels", "larger pixels"],
      ], change)}
      ${form.hires
        ? html`<p class="fine">
            ${form.hires === "latent"
              ? "Draws it again larger, with new detail; a change of 0.5 or more clears the blur."
              : "Draws it again larger, closer to the first picture."}
          </p>`
        : nothing}
    </div>
    ${form.hires
      ? html`${numberField("Times as large", "hiresScale", form.hiresScale, { min: 1.05, max: 4, step: 0.05, mode: "decimal" }, change)}
          ${numberField("Change", "hiresDenoise", form.hiresDenoise, { min: 0, max: 1, step: 0.05, mode: "decimal" }, change)}`
      : nothing}
  `;
}

/** What a sampler takes unless it is told. @param {string} sampler */
function usualEta(sampler) {
  return sampler === "ddim" ? 0 : sampler === "tcd" ? 0.3 : 1;
}
