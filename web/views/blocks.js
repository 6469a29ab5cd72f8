/** Strengths of the network's blocks as sliders in its order, and as the text that block-weight extensions take. */

import { html, nothing } from "lit-html";
import { formatFixed } from "../format.js";
import { blockWeights, sliders } from "../map.js";
import { t, word } from "../words.js";
import { copy } from "./icons.js";

/** @typedef {import("../types.d.ts").ChangeForm} Form */
/** @typedef {import("./change.js").Edit} Edit */

/** @param {Form} form @param {import("../engine/types.d.ts").Report} report @param {Edit} edit @param {import("../types.d.ts").Send} send */
export function blocksForm({ strengths }, report, edit, send) {
  const groups = sliders(report);
  const weights = blockWeights(report, strengths);
  const all = (/** @type {string[]} */ blocks, /** @type {number} */ strength) => edit({ strengths: { ...strengths, ...Object.fromEntries(blocks.map((block) => [block, strength])) } });
  return html`
    <div class="block-groups">
      ${groups.map(
        ({ name, blocks }) => html`<fieldset class="block-group">
          <legend>${word("group", name)}</legend>
          ${blocks.length > 1
            ? html`<span class="group-tools">
                <button class="button small" type="button" @click=${() => all(blocks.map(({ block }) => block), 0)}>${t("blocks.off")}</button>
                <button class="button small" type="button" @click=${() => all(blocks.map(({ block }) => block), 1)}>${t("blocks.full")}</button>
              </span>`
            : nothing}
          ${blocks.map(
            ({ block, label }) => html`<label class="block-slider">
              <span title=${label}>${block}</span>
              <input
                type="range" min="-0.5" max="1.5" step="0.05" data-block=${block} .value=${String(strengths[block] ?? 1)} aria-label=${t("blocks.strength", { block, label })}
                @input=${(/** @type {Event} */ { target }) => edit({ strengths: { ...strengths, [block]: Number(/** @type {HTMLInputElement} */ (target).value) } })}
              />
              <output>${formatFixed(strengths[block] ?? 1)}</output>
            </label>`,
          )}
        </fieldset>`,
      )}
    </div>
    ${weights
      ? html`<p class="lbw">
          <span class="fine">${t("blocks.weights", { n: weights.split(",").length })}</span> <code data-testid="block-weights">${weights}</code>
          <button class="button small" type="button" id="copy-weights" @click=${() => send({ type: "text/copied", text: weights, what: t("blocks.copied") })}>${copy} ${t("button.copy")}</button>
        </p>`
      : nothing}
    <p class="change-actions"><button class="button small" type="button" @click=${() => edit({ strengths: {} })}>${t("blocks.reset")}</button></p>
  `;
}
