/** The blocks' strengths below the map of a file: for the images that are drawn with it, and for a new file. */

import { html } from "lit-html";
import { shownStrengths, strengthsText } from "../blocks.js";
import { t } from "../../words.js";
import { blocksForm } from "./blocks.js";

/**
 * @param {import("../../types.d.ts").State} state
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {boolean} changeable
 * @param {import("../../types.d.ts").Send} send
 */
export function tuneView(state, report, changeable, send) {
  const strengths = shownStrengths(state);
  const stacked = state.device.status !== "missing" && state.form.loras.some(({ id }) => id === state.selected);
  const save = html`<button
    class="button small"
    type="button"
    id="save-blocks"
    ?hidden=${!changeable}
    @click=${() => send({ type: "change/opened", kind: "blocks", form: { strengths } })}
  >
    ${t("tune.save")}
  </button>`;
  return html`
    <details class="tune" id="tune" data-testid="tune">
      <summary>
        ${t("map.blocks")}
        <span class="fine">${strengthsText(strengths).replaceAll(",", ", ").replaceAll("=", " ")}</span>
      </summary>
      <div class="inside">
        <p class="fine">${t(stacked ? "tune.draws" : "tune.rests")}</p>
        ${blocksForm(strengths, report, (strengths) => send({ type: "blocks/edited", strengths }), send, save)}
      </div>
    </details>
  `;
}
