/** Styles and wildcards below the prompts: what was opened, and what of it is used. Loaded when it is unfolded. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { checkInto } from "../../ui/fields.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").Templates} Templates */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {Templates} templates @param {Send} send */
export function templatesView({ fill, wildcards, styles, chosen }, send) {
  const change = (/** @type {Partial<Templates>} */ change) => send({ type: "templates/changed", change });
  const toggled = (/** @type {string} */ name) =>
    chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name];
  return html`
    <div class="inside">
      <p class="fine">${t("templates.says")}</p>
      <p class="chips">
        <label class="button small">
          <input
            class="visually-hidden"
            id="pick-templates"
            type="file"
            multiple
            accept=".txt,.csv"
            @change=${(/** @type {Event} */ event) => picked(event, send)}
          />
          ${t("templates.open")}
        </label>
      </p>
      <label class="check">
        <input type="checkbox" id="fill" .checked=${live(fill)} @change=${checkInto("fill", change)} />
        ${t("templates.fill")}
      </label>
      ${wildcards.length ? html`<p class="fine" id="wildcards">${names(wildcards)}</p>` : nothing}
      ${
        styles.length
          ? html`<p class="chips" role="group" aria-label=${t("templates.styles")}>
              ${styles.map(
                (name) =>
                  html`<button
                    class="chip"
                    type="button"
                    aria-pressed=${chosen.includes(name) ? "true" : "false"}
                    @click=${() => change({ chosen: toggled(name) })}
                  >
                    ${name}
                  </button>`,
              )}
            </p>`
          : nothing
      }
      ${
        wildcards.length || styles.length
          ? html`<button
              class="chip"
              type="button"
              id="close-templates"
              @click=${() => send({ type: "templates/close" })}
            >
              ${t("templates.close")}
            </button>`
          : nothing
      }
    </div>
  `;
}

/** As prompts write them. @param {string[]} wildcards */
const names = (wildcards) => wildcards.map((name) => `__${name}__`).join(" ");

/** The files that were picked; the same can be picked again. @param {Event} event @param {Send} send */
function picked({ target }, send) {
  const picker = /** @type {HTMLInputElement} */ (target);
  const files = [...(picker.files ?? [])];
  picker.value = "";
  if (files.length) send({ type: "templates/picked", files });
}
