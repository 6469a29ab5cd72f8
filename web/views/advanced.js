/** What most pictures need no change of: schedule, noise, prompt syntax, clip skip. */

import { html } from "lit-html";
import { choiceField, numberField } from "./fields.js";

/** @typedef {import("../types.d.ts").Form} Form */

/** @param {Form} form @param {(change: Partial<Form>) => void} change */
export function advancedView(form, change) {
  return html`
    <details class="advanced" id="advanced">
      <summary>Advanced</summary>
      <div class="inside numbers">
        ${choiceField("Schedule", "schedule", form.schedule, [
          ["", "the model’s"], ["timesteps", "timesteps"], ["karras", "Karras"], ["exponential", "exponential"],
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
        ${numberField("Clip skip", "clipSkip", form.clipSkip, { min: 1, max: 12, step: 1 }, change)}
        <p class="fine beside">1 reads the text encoder’s last layer, 2 the one before.</p>
      </div>
    </details>
  `;
}
