/** What to draw: prompt, LoRA and its strength first, the rest below. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { activeRows } from "../../recipe.js";
import { sizeStep } from "../../select.js";
import { t } from "../../words.js";
import { advancedView } from "./advanced.js";
import { estimateView } from "../../device/views/device.js";
import { baseView } from "./base.js";
import { fewStepsView } from "./few-steps.js";
import { MOST_PIXELS } from "../options.js";
import { MOST_SEED, RANDOM_SEED } from "../seed.js";
import { modelSizes } from "../sizes.js";
import { digitsInto, numberField, numberInput } from "../../ui/fields.js";
import { dice, recycle } from "../../ui/icons.js";
import { optionsView } from "./options.js";
import { promptView } from "./prompt.js";
import { stackView } from "./stack.js";
import { startView } from "./start.js";
import { insideView } from "../../templates/lazy.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Form} Form */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function formView(state, send) {
  const { demo, device, run } = state;
  const change = (/** @type {Partial<Form>} */ change) => send({ type: "form/changed", change });
  const ready = device.status === "ready" && (run.status === "idle" || run.live) && demo.catalogue !== null;
  const stacked = activeRows(state).length;
  return html`
    <form
      class="recipe"
      aria-label=${t("form.label")}
      @submit=${(/** @type {Event} */ event) => submit(event, ready, send)}
    >
      ${baseView(state, send)} ${promptView(state, send)}
      <details class="advanced" id="templates" @toggle=${() => send({ type: "templates/unfolded" })}>
        <summary>${t("templates.title")}</summary>
        ${insideView(state.templates, send)}
      </details>
      ${stackView(state, send)} ${fewStepsView(state, change)} ${numbersView(state, change, send)}
      ${startView(state, change, send)} ${advancedView(state, change)}
      <button class="button primary" id="generate" type="submit" aria-disabled=${ready ? "false" : "true"}>
        ${device.status === "checking" ? t("form.checking") : t("form.generate")}
      </button>
      ${estimateView(state, send)}
      ${stacked ? html`<p class="fine">${t(stacked > 1 ? "form.two_many" : "form.two_one")}</p>` : nothing}
    </form>
  `;
}

/** @param {State} state @param {(change: Partial<Form>) => void} change @param {Send} send */
function numbersView(state, change, send) {
  const { form, base } = state;
  const step = sizeStep(state);
  const bounds = { min: step, max: MOST_PIXELS, step };
  // The demo is always drawn at its own size.
  const size = (/** @type {() => unknown} */ view) => (base.chosen === "demo" ? nothing : view());
  const special = {
    width: () =>
      size(
        () =>
          html`${sizesView(form, base.info, change)}
          ${numberField(t("form.width"), "width", form.width, bounds, change)}`,
      ),
    height: () => size(() => numberField(t("form.height"), "height", form.height, bounds, change)),
    seed: () => seedView(state, change, send),
  };
  return html`<div class="numbers">${optionsView("numbers", state, change, special)}</div>`;
}

/**
 * The sizes that the model was trained on.
 * @param {Form} form @param {State["base"]["info"]} info @param {(change: Partial<Form>) => void} change
 */
function sizesView({ width, height }, info, change) {
  const sizes = modelSizes(info).map(([width, height]) => `${width}x${height}`);
  if (!sizes.length) return nothing;
  const now = sizes.find((size) => size === `${width}x${height}`) ?? "";
  const choose = (/** @type {Event} */ { target }) => {
    const [width, height] = /** @type {HTMLSelectElement} */ (target).value.split("x").map(Number);
    if (height) change({ width, height });
  };
  return html`<label class="field whole">
    <span>${t("form.size")}</span>
    <select id="size" @change=${choose}>
      <option value="" .selected=${live(now === "")}>${t("form.size_other")}</option>
      ${sizes.map(
        (size) => html`<option value=${size} .selected=${live(size === now)}>${size.replace("x", " × ")}</option>`,
      )}
    </select>
  </label>`;
}

/**
 * The seed with the web UIs' two buttons: a random one, and the last image's.
 * @param {State} state
 * @param {(change: Partial<Form>) => void} change
 * @param {Send} send
 */
function seedView({ form, result }, change, send) {
  const tool = (
    /** @type {string} */ id,
    /** @type {string} */ label,
    /** @type {unknown} */ icon,
    /** @type {() => void} */ act,
    on = true,
  ) =>
    html`<button
      class="button"
      type="button"
      id=${id}
      aria-label=${label}
      title=${label}
      aria-disabled=${on ? "false" : "true"}
      @click=${act}
    >
      ${icon}
    </button>`;
  return html`
    <div class="field whole">
      <label for="seed">${t("form.seed")}</label>
      <span class="joined">
        ${numberInput(
          "seed",
          form.seed,
          { min: RANDOM_SEED, max: MOST_SEED, step: 1 },
          change,
          digitsInto("seed", change),
        )}
        ${tool("roll", t("form.roll"), dice, () => change({ seed: RANDOM_SEED }))}
        ${tool("reuse", t("tools.seed"), recycle, () => send({ type: "seed/reuse" }), result !== null)}
      </span>
      ${form.seed === RANDOM_SEED ? html`<span class="fine">${t("form.random")}</span>` : nothing}
    </div>
  `;
}

/** @param {Event} event @param {boolean} ready @param {Send} send */
function submit(event, ready, send) {
  event.preventDefault();
  if (ready) send({ type: "run/generate" });
}
