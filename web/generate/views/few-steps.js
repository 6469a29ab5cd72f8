/** The numbers that a LoRA or a model needs that was distilled for few steps, at one click. */

import { html, nothing } from "lit-html";
import { fewStepsAdvice } from "../few-steps.js";
import { t, word } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Form} Form */

/** @param {State} state @param {(change: Partial<Form>) => void} apply */
export function fewStepsView(state, apply) {
  const advice = fewStepsAdvice(state);
  if (!advice) return nothing;
  const { file, method, change } = advice;
  const sampler = word("sampler", change.sampler ?? state.form.sampler);
  return html`<div class="advice" data-testid="few-steps">
    <p class="fine">${t("few.says", { name: file, method })}</p>
    <button class="button small" type="button" id="few-steps" @click=${() => apply(change)}>
      ${t("few.apply", { steps: change.steps ?? 0, guidance: change.guidance ?? 0, sampler })}
    </button>
  </div>`;
}
