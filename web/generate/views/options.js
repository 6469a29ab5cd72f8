/** The controls of the options, from their rows. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { ROWS, choicesOf } from "../options.js";
import { t } from "../../words.js";
import { checkInto, choiceField, numberField } from "../../ui/fields.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../options.js").AnyOption} AnyOption */
/** @typedef {(change: Partial<import("../../types.d.ts").Form>) => void} Change */

/**
 * The options of a part of the form that there are now.
 * @param {import("../options.js").Place} place
 * @param {State} state
 * @param {Change} change
 * @param {Partial<Record<import("../options.js").OptionId, () => unknown>>} special views of options that are more than
 * a control
 */
export function optionsView(place, state, change, special) {
  const shown = ROWS.filter((option) => option.place === place && option.when?.(state) !== false);
  return shown.map((option) => special[option.id]?.() ?? optionView(option, state, change));
}

/** @param {AnyOption} option @param {State} state @param {Change} change */
function optionView(option, state, change) {
  const { wide, says } = option;
  const key = typeof says === "function" ? says(state.form, state) : says;
  const control = controlView(option, state, change);
  if (wide) return html`<div class="whole">${control} ${key ? html`<p class="fine">${t(key)}</p>` : nothing}</div>`;
  return html`${control} ${key ? html`<p class="fine beside">${t(key)}</p>` : nothing}`;
}

/** @param {AnyOption} option @param {State} state @param {Change} change */
function controlView(option, state, change) {
  const { id, label, choices, usual, min = 0, max = 0, step } = option;
  const value = state.form[id];
  if (choices) return choiceField(t(label), id, String(value), choicesOf(option, state), change);
  if (step === undefined)
    return html`<label class="check whole">
      <input type="checkbox" id=${id} .checked=${live(value === true)} @change=${checkInto(id, change)} />
      ${t(label)}
    </label>`;
  const mode = step === 1 ? "numeric" : "decimal";
  return numberField(t(label), id, Number(value ?? usual?.(state.form)), { min, max, step, mode }, change);
}
