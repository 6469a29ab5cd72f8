/** What to draw: prompt, LoRA and its strength first, the rest below. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { MOST_SEED } from "../../form.js";
import { activeRows } from "../../recipe.js";
import { sizeStep } from "../../select.js";
import { t, word } from "../../words.js";
import { advancedView } from "./advanced.js";
import { baseView } from "./base.js";
import { choiceField, digitsInto, numberField, numberInput, textInto } from "../../ui/fields.js";
import { dice } from "../../ui/icons.js";
import { stackView } from "./stack.js";
import { startView } from "./start.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Form} Form */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function formView(state, send) {
  const { form, demo, gpu, run, start, mask } = state;
  const change = (/** @type {Partial<Form>} */ change) => send({ type: "form/changed", change });
  const ready = gpu.status === "ready" && (run.status === "idle" || run.live) && demo.catalogue !== null;
  const stacked = activeRows(state).length;
  return html`
    <form class="recipe" aria-label=${t("form.label")} @submit=${(/** @type {Event} */ event) => submit(event, ready, send)}>
      ${baseView(state, send)} ${promptView(state, change)} ${stackView(state, send)} ${numbersView(state, change)}
      ${startView(start, mask, form, change, send)} ${advancedView(form, state.base.info, change)}
      <button class="button primary" id="generate" type="submit" aria-disabled=${ready ? "false" : "true"}>
        ${gpu.status === "checking" ? t("form.checking") : t("form.generate")}
      </button>
      ${stacked
        ? html`<p class="fine">${t(stacked > 1 ? "form.two_many" : "form.two_one")}</p>`
        : nothing}
    </form>
  `;
}

/** @param {State} state @param {(change: Partial<Form>) => void} change */
function promptView({ form, base, demo, tokens }, change) {
  const prompts = base.chosen === "demo" ? (demo.catalogue?.prompts ?? []) : [];
  return html`
    <div class="field">
      <label for="prompt">${t("form.prompt")} ${tokens ? html`<output class="fine" id="tokens">${t("form.tokens", { used: tokens.used, room: tokens.room })}</output>` : nothing}</label>
      <input type="text" id="prompt" autocomplete="off" .value=${live(form.prompt)} @input=${textInto("prompt", change)} />
      ${tokens && tokens.used > tokens.room
        ? html`<p class="fine over" role="status">${t("form.cut", { n: tokens.used - tokens.room })}</p>`
        : nothing}
    </div>
    ${prompts.length
      ? html`<p class="chips" role="group" aria-label=${t("form.prompts")}>
          ${prompts.map(
            (prompt) =>
              html`<button class="chip" type="button" aria-pressed=${prompt === form.prompt ? "true" : "false"} @click=${() => change({ prompt })}>
                ${prompt}
              </button>`,
          )}
        </p>`
      : nothing}
    <label class="field">
      <span>${t("form.negative")}</span>
      <input type="text" id="negative" autocomplete="off" .value=${live(form.negative)} @input=${textInto("negative", change)} />
    </label>
  `;
}

/** @param {State} state @param {(change: Partial<Form>) => void} change */
function numbersView(state, change) {
  const { form, base } = state;
  const missing = form.program === "diffusers" ? (base.info?.web_ui_samplers ?? []) : [];
  const isOffered = (/** @type {string} */ name) => name === form.sampler || !missing.includes(name);
  const samplers = base.info?.samplers.filter(isOffered) ?? (form.sampler ? [form.sampler] : []);
  const step = sizeStep(state);
  const size = { min: step, max: 2048, step };
  return html`
    <div class="numbers">
      ${base.chosen === "demo"
        ? nothing
        : html`${numberField(t("form.width"), "width", form.width, size, change)} ${numberField(t("form.height"), "height", form.height, size, change)}`}
      <div class="field">
        <label for="seed">${t("form.seed")}</label>
        <span class="joined">
          ${numberInput("seed", form.seed, { min: 0, max: MOST_SEED, step: 1 }, change, digitsInto("seed", change))}
          <button
            class="button" type="button" id="roll" aria-label=${t("form.roll")} title=${t("form.roll")}
            @click=${() => change({ seed: Math.floor(Math.random() * 1_000_000) })}
          >
            ${dice}
          </button>
        </span>
      </div>
      ${numberField(t("form.steps"), "steps", form.steps, { min: 1, max: 100, step: 1 }, change)}
      ${numberField(t("form.guidance"), "guidance", form.guidance, { min: 0, max: 30, step: 0.5, mode: "decimal" }, change)}
      ${choiceField(t("form.sampler"), "sampler", form.sampler, samplers.map((name) => [name, word("sampler", name)]), change)}
    </div>
  `;
}

/** @param {Event} event @param {boolean} ready @param {Send} send */
function submit(event, ready, send) {
  event.preventDefault();
  if (ready) send({ type: "run/generate" });
}
