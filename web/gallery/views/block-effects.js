/** What each block of a LoRA does, from the images of a grid: a table with difference maps, and weights that follow. */

import { html, nothing } from "lit-html";
import { formatFixed } from "../../core/format.js";
import { strengthsOf } from "../../inspect/blocks.js";
import { entryById } from "../../select.js";
import { rich, t } from "../../words.js";
import { blockEffects, suggestedWeights } from "../block-effects.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../block-effects.js").BlockEffect} BlockEffect */

/** @param {State} state @param {import("../../types.d.ts").Grid} grid @param {Send} send */
export function blockEffectsView(state, grid, send) {
  const effects = blockEffects(grid);
  if (!effects.length) return nothing;
  const finished = grid.cells.every(Boolean);
  return html`<div class="block-effects" data-testid="block-effects" data-finished=${finished ? "yes" : "no"}>
    <h4>${t("blocks.title")}</h4>
    <p class="fine">${t("blocks.says")}</p>
    <div class="scroller" tabindex="0" role="region" aria-label=${t("blocks.title")}>
      <table>
        <thead>
          <tr>
            <th scope="col">${t("blocks.block")}</th>
            <th scope="col">${t("blocks.where")}</th>
            <th scope="col" class="numeric">${t("blocks.without")}</th>
            <th scope="col" class="numeric">${t("blocks.only")}</th>
          </tr>
        </thead>
        <tbody>
          ${effects.map((effect) => rowView(effect, state.smooth))}
        </tbody>
      </table>
    </div>
    ${finished ? suggestionView(state, grid, effects, send) : nothing}
  </div>`;
}

/** @param {BlockEffect} effect @param {boolean} smooth */
function rowView({ block, without, only, map }, smooth) {
  const levels = (/** @type {number | null} */ value) => (value === null ? "" : formatFixed(value, 1));
  return html`<tr>
    <th scope="row">${block}</th>
    <td>
      ${
        map
          ? html`<pixel-image
              .room=${72}
              .image=${map}
              ?smooth=${smooth}
              label=${t("blocks.map", { block })}
            ></pixel-image>`
          : nothing
      }
    </td>
    <td class="numeric">${levels(without)}</td>
    <td class="numeric">${levels(only)}</td>
  </tr>`;
}

/**
 * @param {State} state
 * @param {import("../../types.d.ts").Grid} grid
 * @param {BlockEffect[]} effects
 * @param {Send} send
 */
function suggestionView({ form, ...state }, { x }, effects, send) {
  const weights = suggestedWeights(effects);
  const [first, second] = effects;
  const index = Number(x.kind.split(":")[1]);
  const id = form.loras[index]?.id ?? "";
  const own = entryById(/** @type {State} */ ({ form, ...state }), id);
  const save = () => {
    send({ type: "files/select", id });
    send({ type: "change/opened", kind: "blocks", form: { strengths: strengthsOf(weights) } });
  };
  return html`<p data-testid="block-suggestion">
      ${second ? t("blocks.strongest", { first: first.block, second: second.block }) : nothing}
      ${weights ? rich("blocks.idle", { weights: html`<code>${weights}</code>` }) : t("blocks.all_needed")}
    </p>
    ${
      weights
        ? html`<p class="made-actions">
            <button
              class="button small"
              type="button"
              id="blocks-use"
              @click=${() => send({ type: "row/changed", index, change: { blocks: weights } })}
            >
              ${t("blocks.use")}
            </button>
            ${
              own
                ? html`<button class="button small" type="button" id="blocks-save" @click=${save}>
                    ${t("blocks.save")}
                  </button>`
                : nothing
            }
          </p>`
        : nothing
    }`;
}
