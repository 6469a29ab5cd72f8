/** The options that most images need no change of: schedule, noise, program, a second pass, clip skip. */

import { html, nothing } from "lit-html";
import { optionsView } from "./options.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Form} Form */
/** @typedef {(change: Partial<Form>) => void} Change */

/** @param {State} state @param {Change} change */
export function advancedView(state, change) {
  return html`
    <details class="advanced" id="advanced">
      <summary>${t("advanced.title")}</summary>
      <div class="inside numbers">
        ${optionsView("advanced", state, change, { webUi: () => carriedView(state.form, change) })}
      </div>
    </details>
  `;
}

/** Settings of A1111 that a restored image brought along. @param {Form} form @param {Change} change */
function carriedView({ webUi, variation, seedResize }, change) {
  const seeds = {
    variation: variation && `${variation.seed} × ${variation.strength}`,
    seed_resize: seedResize?.join("×"),
  };
  const said = Object.entries({ ...webUi, ...seeds })
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}: ${value}`);
  return said.length
    ? html`<p class="fine whole">
        ${t("advanced.carried", { settings: said.join(", ") })}
        <button
          class="chip"
          type="button"
          id="uncarry"
          @click=${() => change({ webUi: null, variation: null, seedResize: null })}
        >
          ${t("advanced.uncarry")}
        </button>
      </p>`
    : nothing;
}
