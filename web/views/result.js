/** Two pictures of one seed -> side by side, or under one slider, each with what was applied and a download. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { formatSeconds, plural } from "../format.js";
import { SAMPLERS, word } from "../words.js";
import { download } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").Picture} Picture */
/** @typedef {import("../types.d.ts").Send} Send */
/** @typedef {import("../types.d.ts").Result} Result */

/** @param {import("../types.d.ts").State} state @param {Send} send */
export function resultView({ result, run, compare, smooth }, send) {
  if (!result) {
    return run.status === "idle"
      ? html`<p class="empty">The pictures appear here.</p>`
      : html`<div class="pictures">${placeholder("Without")}</div>`;
  }
  const both = result.without && result.with;
  return html`
    <div class="result" data-testid="result" aria-busy=${run.status === "idle" ? "false" : "true"}>
      <div class="tools">
        ${both ? choiceView(compare, send) : nothing}
        <label class="check">
          <input
            type="checkbox" id="smooth" .checked=${live(smooth)}
            @change=${(/** @type {Event} */ { target }) =>
              send({ type: "result/smoothed", smooth: /** @type {HTMLInputElement} */ (target).checked })}
          />
          Smooth
        </label>
      </div>
      ${both && compare === "slider" ? sliderView(result, smooth) : sideView(result, run.status !== "idle", smooth)}
      ${captionView(result)}
      <p class="downloads">
        ${result.without ? downloadView("without", "Without", send) : nothing} ${result.with ? downloadView("with", withName(result), send) : nothing}
      </p>
    </div>
  `;
}

/** @param {"side" | "slider"} compare @param {Send} send */
function choiceView(compare, send) {
  const choice = (/** @type {"side" | "slider"} */ value, /** @type {string} */ name) =>
    html`<button type="button" id="compare-${value}" aria-pressed=${compare === value ? "true" : "false"} @click=${() => send({ type: "result/compared", compare: value })}>
      ${name}
    </button>`;
  return html`<div class="segments" role="group" aria-label="How to compare">${choice("side", "Side by side")} ${choice("slider", "Slider")}</div>`;
}

/** @param {Result} result @param {boolean} busy @param {boolean} smooth */
function sideView(result, busy, smooth) {
  const lora = result.loras.length > 0;
  return html`
    <div class="pictures">
      ${result.without ? figureView(result.without, lora ? "Without" : "No LoRA", "without", smooth, result) : nothing}
      ${result.with ? figureView(result.with, withName(result), "with", smooth, result) : lora && busy ? placeholder(withName(result)) : nothing}
    </div>
  `;
}

/** @param {Picture} picture @param {string} name @param {"without" | "with"} which @param {boolean} smooth @param {Result} result */
function figureView(picture, name, which, smooth, { recipe }) {
  return html`<figure>
    <pixel-picture .picture=${picture} ?smooth=${smooth} label="${recipe.prompt}, ${name}" data-testid="picture-${which}"></pixel-picture>
    <figcaption>${name}</figcaption>
  </figure>`;
}

/** @param {Result} result @param {boolean} smooth */
function sliderView(result, smooth) {
  const name = withName(result);
  return html`
    <div class="compared">
      <before-after label="How much of the picture without the LoRA is shown" data-testid="slider">
        <pixel-picture slot="before" .room=${512} .picture=${result.without} ?smooth=${smooth} label="${result.recipe.prompt}, without"></pixel-picture>
        <pixel-picture slot="after" .room=${512} .picture=${result.with} ?smooth=${smooth} label="${result.recipe.prompt}, ${name}"></pixel-picture>
      </before-after>
      <p class="ends"><span>Without</span><span>${name}</span></p>
    </div>
  `;
}

/** @param {string} name */
function placeholder(name) {
  return html`<figure class="coming"><div class="blank"></div><figcaption>${name}</figcaption></figure>`;
}

/** @param {Result} result */
function withName({ loras }) {
  return loras.map(({ label, strength }) => `${label} × ${strength.toFixed(2)}`).join(" + ");
}

/** @param {Result} result */
function captionView({ plain, recipe, preview, without, with: picture }) {
  const applied = (picture?.applied ?? []).map(
    ({ name, matched, leftovers }) => html`<li>${name}: ${plural(matched, "module")} applied${leftovers ? `, ${leftovers} left over` : ""}</li>`,
  );
  const seconds = (without?.seconds ?? 0) + (picture?.seconds ?? 0);
  const { prompt, seed, steps, sampler, guidance } = plain;
  return html`<div class="fine" data-testid="caption">
    ${applied.length ? html`<ul class="applied">${applied}</ul>` : nothing}
    <p>
      “${prompt}”, seed ${seed}, ${plural(steps, "step")} of ${word(SAMPLERS, sampler)}, guidance ${guidance}. Drawn in ${formatSeconds(seconds)}.
      ${preview ? html`<strong>With LoRAs: a quick picture of ${plural(recipe.steps, "step")}; Generate draws it in full.</strong>` : nothing}
    </p>
  </div>`;
}

/** @param {"without" | "with"} which @param {string} name @param {Send} send */
function downloadView(which, name, send) {
  return html`<button class="button small" type="button" id="download-${which}" @click=${() => send({ type: "result/downloaded", which })}>
    ${download} PNG, ${name.toLowerCase() === "without" ? "without" : name}
  </button>`;
}
