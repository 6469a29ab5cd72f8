/** Strengths of the network's blocks as sliders in its order, and as the text that block-weight extensions take. */

import { html, nothing } from "lit-html";
import { formatFixed } from "../../core/format.js";
import { blockWeights, sliders } from "../blocks.js";
import { t, word } from "../../words.js";
import { copy } from "../../ui/icons.js";

/** @typedef {import("../blocks.js").Strengths} Strengths */

/**
 * @param {ReturnType<typeof sliders>[number]} group
 * @param {Strengths} strengths
 * @param {(strengths: Strengths) => void} set
 */
function groupView({ name, blocks }, strengths, set) {
  const all = (/** @type {number} */ strength) =>
    set({ ...strengths, ...Object.fromEntries(blocks.map(({ block }) => [block, strength])) });
  return html`<div class="block-group" role="group" aria-label=${word("group", name)}>
    <p class="group-head">
      ${word("group", name)}
      ${
        blocks.length > 1
          ? html`<button type="button" @click=${() => all(0)}>${t("blocks.off")}</button>
              <button type="button" @click=${() => all(1)}>${t("blocks.full")}</button>`
          : nothing
      }
    </p>
    ${blocks.map(
      ({ block, label }) =>
        html`<label class="block-slider">
          <span title=${label}>${block}</span>
          <input
            type="range"
            min="-0.5"
            max="1.5"
            step="0.05"
            data-block=${block}
            .value=${String(strengths[block] ?? 1)}
            aria-label=${t("blocks.strength", { block, label })}
            @input=${(/** @type {Event} */ { target }) =>
              set({ ...strengths, [block]: Number(/** @type {HTMLInputElement} */ (target).value) })}
          />
          <output>${formatFixed(strengths[block] ?? 1)}</output>
        </label>`,
    )}
  </div>`;
}

/**
 * @param {Strengths} strengths
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {(strengths: Strengths) => void} set
 * @param {import("../../types.d.ts").Send} send @param {unknown} [more] what else can be done with them
 */
export function blocksForm(strengths, report, set, send, more = nothing) {
  const groups = sliders(report);
  const weights = blockWeights(report, strengths);
  return html`
    <div class="block-groups">${groups.map((group) => groupView(group, strengths, set))}</div>
    ${
      weights
        ? html`<p class="lbw">
            <span class="fine">${t("blocks.weights", { n: weights.split(",").length })}</span>
            <code data-testid="block-weights">${weights}</code>
            <button
              class="button small"
              type="button"
              data-testid="copy-weights"
              @click=${() => send({ type: "text/copy", text: weights, what: t("blocks.copied") })}
            >
              ${copy} ${t("button.copy")}
            </button>
          </p>`
        : nothing
    }
    <p class="change-actions">
      ${more} <button class="button small" type="button" @click=${() => set({})}>${t("blocks.reset")}</button>
    </p>
  `;
}
