/** Words to which a LoRA answers, found in its numbers with the open base model. */

import { html, nothing } from "lit-html";
import { formatCount, formatFixed } from "../../core/format.js";
import { refused, tagsOf, weighableBy } from "../../select.js";
import { messageView } from "../../ui/message.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").Entry} Entry */
/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../../engine/types.d.ts").RankedWords} RankedWords */

/** Families whose text encoders and cross-attention the engine knows. */
const FAMILIES = ["sd15", "sd21", "sdxl"];

/** @type {import("../../types.d.ts").Section<Entry>} */
export const triggersSection = {
  id: "triggers",
  title: "section.triggers",
  late: true,
  of: ({ entry, report }) => {
    const bases = [report.base, ...(report.base.others ?? [])];
    const isKnown = report.kind === "adapter" && !refused(report);
    return isKnown && bases.some(({ family }) => FAMILIES.includes(family)) ? entry : null;
  },
  from: ({ state, entry }) => [state.look.triggers, entry, state.base, state.demo.catalogue, state.form.prompt],
  view: (entry, { state, send }) => triggersView(entry, state, send),
};

/** @param {Entry} entry @param {State} state @param {Send} send */
function triggersView(entry, state, send) {
  const { triggers } = state.look;
  const fits = weighableBy(state, entry);
  return html`
    <section
      class="card triggers"
      id="triggers"
      aria-labelledby="triggers-title"
      data-testid="triggers"
      data-status=${triggers?.status ?? "none"}
    >
      <h3 id="triggers-title">${t("triggers.title")}</h3>
      <p class="fine">${t("triggers.says")}</p>
      ${
        triggers?.status === "running"
          ? runningView(triggers.done, send)
          : fits
            ? startView(entry, send)
            : html`<p class="fine">${t("triggers.needs_model")}</p>`
      }
      ${triggers?.error ? messageView({ title: t("triggers.failed"), severity: "warn", ...triggers.error }) : nothing}
      ${triggers?.found ? foundView(triggers.found, tagsOf(state.form.prompt), send) : nothing}
    </section>
  `;
}

/** @param {Entry} entry @param {Send} send */
function startView({ id }, send) {
  return html`<button
    class="button small"
    type="button"
    id="find-triggers"
    @click=${() => send({ type: "triggers/find", id })}
  >
    ${t("triggers.find")}
  </button>`;
}

/** @param {number} done @param {Send} send */
function runningView(done, send) {
  return html`<p class="reading">
    <progress max="1" .value=${done} aria-label=${t("triggers.running")}></progress> ${t("triggers.running")}
    <button class="button small" type="button" @click=${() => send({ type: "triggers/stop" })}>
      ${t("button.cancel")}
    </button>
  </p>`;
}

/** @param {RankedWords} found @param {string[]} chosen @param {Send} send */
function foundView({ words, compared }, chosen, send) {
  if (!compared) return html`<p>${t("triggers.none")}</p>`;
  return html`
    <p class="fine">${t("triggers.compared", { n: compared })}</p>
    <table data-testid="ranked-words">
      <thead>
        <tr>
          <th scope="col">${t("triggers.word")}</th>
          <th scope="col" class="numeric"><abbr title=${t("triggers.score_says")}>${t("triggers.score")}</abbr></th>
        </tr>
      </thead>
      <tbody>
        ${words.map(
          ({ word, score, in_header }) =>
            html`<tr>
              <th scope="row">
                <button
                  class="chip"
                  type="button"
                  title=${t("triggers.click")}
                  aria-pressed=${chosen.includes(word) ? "true" : "false"}
                  @click=${() => send({ type: "tag/toggled", tag: word })}
                >
                  <bdi>${word}</bdi>
                </button>
                ${in_header ? html`<span class="fine">${t("triggers.in_header")}</span>` : nothing}
              </th>
              <td class="numeric">${score < 100 ? formatFixed(score, 1) : formatCount(Math.round(score))}</td>
            </tr>`,
        )}
      </tbody>
    </table>
  `;
}
