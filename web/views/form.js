/** What to draw: prompt, LoRA and its strength first, the rest below. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { loraOptions } from "../select.js";
import { SAMPLERS, word } from "../words.js";
import { dice } from "./icons.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Form} Form */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function formView(state, send) {
  const { form, demo, gpu, run } = state;
  const change = (/** @type {Partial<Form>} */ change) => send({ type: "form/changed", change });
  const ready = gpu.status === "ready" && run.status === "idle" && demo.catalogue !== null;
  const samplers = demo.model?.samplers ?? (form.sampler ? [form.sampler] : []);
  return html`
    <form class="recipe" aria-label="What to draw" @submit=${(/** @type {Event} */ event) => submit(event, ready, send)}>
      ${promptView(form, demo.catalogue?.prompts ?? [], change)} ${loraView(state, change)}
      <label class="field">
        <span>Strength <output>${form.strength.toFixed(2)}</output></span>
        <input
          type="range" id="strength" min="-1" max="1.5" step="0.05" list="strengths" ?disabled=${!form.lora}
          .value=${live(String(form.strength))} @input=${numberInto("strength", change)}
        />
        <datalist id="strengths"><option value="0"></option><option value="1"></option></datalist>
      </label>
      <div class="numbers">
        <div class="field">
          <label for="seed">Seed</label>
          <span class="joined">
            <input
              type="number" id="seed" min="0" max="4294967295" step="1" inputmode="numeric"
              .value=${live(String(form.seed))} @change=${numberInto("seed", change)}
            />
            <button
              class="button" type="button" id="roll" aria-label="Another seed by chance" title="Another seed by chance"
              @click=${() => change({ seed: Math.floor(Math.random() * 1_000_000) })}
            >
              ${dice}
            </button>
          </span>
        </div>
        <label class="field">
          <span>Steps</span>
          <input
            type="number" id="steps" min="1" max="100" step="1" inputmode="numeric"
            .value=${live(String(form.steps))} @change=${numberInto("steps", change)}
          />
        </label>
        <label class="field">
          <span>Guidance</span>
          <input
            type="number" id="guidance" min="0" max="30" step="0.5" inputmode="decimal"
            .value=${live(String(form.guidance))} @change=${numberInto("guidance", change)}
          />
        </label>
        <label class="field">
          <span>Sampler</span>
          <select id="sampler" @change=${textInto("sampler", change)}>
            ${samplers.map((name) => html`<option value=${name} .selected=${live(name === form.sampler)}>${word(SAMPLERS, name)}</option>`)}
          </select>
        </label>
      </div>
      <button class="button primary" id="generate" type="submit" aria-disabled=${ready ? "false" : "true"}>
        ${gpu.status === "checking" ? "Looking for the graphics card…" : "Generate"}
      </button>
      ${form.lora ? html`<p class="fine">Two pictures from the same seed: without the LoRA, and with it.</p>` : nothing}
    </form>
  `;
}

/** @param {Form} form @param {string[]} prompts @param {(change: Partial<Form>) => void} change */
function promptView(form, prompts, change) {
  return html`
    <label class="field">
      <span>Prompt</span>
      <input type="text" id="prompt" autocomplete="off" .value=${live(form.prompt)} @input=${textInto("prompt", change)} />
    </label>
    <p class="chips" role="group" aria-label="Prompts that the demo model knows well">
      ${prompts.map(
        (prompt) =>
          html`<button class="chip" type="button" aria-pressed=${prompt === form.prompt ? "true" : "false"} @click=${() => change({ prompt })}>
            ${prompt}
          </button>`,
      )}
    </p>
    <label class="field">
      <span>Negative prompt</span>
      <input type="text" id="negative" autocomplete="off" .value=${live(form.negative)} @input=${textInto("negative", change)} />
    </label>
  `;
}

/** @param {State} state @param {(change: Partial<Form>) => void} change */
function loraView(state, change) {
  const { demo, own } = loraOptions(state);
  const chosen = state.form.lora;
  const option = (/** @type {{ id: string, label: string }} */ { id, label }) =>
    html`<option value=${id} .selected=${live(id === chosen)}>${label}</option>`;
  const shows = demo.find(({ id }) => id === chosen)?.shows;
  return html`
    <label class="field">
      <span>LoRA</span>
      <select id="lora" @change=${textInto("lora", change)} aria-describedby="lora-shows">
        <option value="" .selected=${live(chosen === "")}>none</option>
        ${own.length ? html`<optgroup label="Your files">${own.map(option)}</optgroup>` : nothing}
        <optgroup label="Demo">${demo.map(option)}</optgroup>
      </select>
      <span class="fine" id="lora-shows">${shows ?? nothing}</span>
    </label>
  `;
}

/** @param {keyof Form} field @param {(change: Partial<Form>) => void} change */
function textInto(field, change) {
  return (/** @type {Event} */ { target }) => change({ [field]: /** @type {HTMLInputElement} */ (target).value });
}

/** An emptied field keeps its last number. @param {keyof Form} field @param {(change: Partial<Form>) => void} change */
function numberInto(field, change) {
  return (/** @type {Event} */ { target }) => {
    const { valueAsNumber } = /** @type {HTMLInputElement} */ (target);
    change(Number.isNaN(valueAsNumber) ? {} : { [field]: valueAsNumber });
  };
}

/** @param {Event} event @param {boolean} ready @param {Send} send */
function submit(event, ready, send) {
  event.preventDefault();
  if (ready) send({ type: "run/generate" });
}
