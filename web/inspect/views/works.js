/** t("works.title"): what each program does with the file, why, and what a line of its log means. */

import { html, nothing } from "lit-html";
import { fixFor } from "../fixes.js";
import { rich, say, t, word } from "../../words.js";
import { fixButton } from "./fix.js";
import { check, partly, question, stop, warning } from "../../ui/icons.js";
import { sentenceView } from "../../ui/text.js";

/** @typedef {import("../../engine/types.d.ts").LoaderVerdict} Verdict */
/** @typedef {import("../../types.d.ts").Send} Send */

const LOOK = { applied: "good", partly: "warn", ignored: "refuse", refused: "refuse", unknown: "" };
const ICON = { applied: check, partly, ignored: warning, refused: stop, unknown: question };

/** @type {import("../../types.d.ts").Section<import("../../engine/types.d.ts").Report>} */
export const worksSection = {
  id: "works",
  title: "works.title",
  of: ({ report }) => (report.loaders.length ? report : null),
  from: ({ report, entry, state }) => [report.loaders, entry.fixes, state.look.log],
  view: (report, { entry, state, send }) => worksView(report, entry.fixes, state.look.log, send),
};

/**
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {import("../../engine/types.d.ts").Fix[]} fixes
 * @param {import("../../types.d.ts").Look["log"]} log
 * @param {Send} send
 */
function worksView(report, fixes, log, send) {
  return html`
    <section class="card works" id="works" aria-labelledby="works-title" data-testid="works">
      <h3 id="works-title">${t("works.title")}</h3>
      <ul class="loaders">
        ${report.loaders.map((verdict) => loaderView(verdict, fixFor(fixes, verdict), send))}
      </ul>
      ${logView(log, send)}
    </section>
  `;
}

/** @param {Verdict} verdict @param {import("../fixes.js").Fix | null} fix @param {Send} send */
function loaderView(
  { loader, label, version, status, applied, total, reason, log, strength_note, otherwise, likely },
  fix,
  send,
) {
  return html`<li class="loader ${LOOK[status]}" data-loader=${loader} data-status=${status}>
    <span class="mark" title=${word("status_says", status)}>${ICON[status]}</span>
    <div>
      <p class="loader-name">
        <strong>${label}</strong>
        <span class="status"
          >${status === "partly" ? t("works.layers", { applied, total }) : word("status", status)}</span
        >
      </p>
      ${reason ? html`<p>${sentenceView(reason)}</p>` : nothing}
      ${otherwise ? html`<p>${sentenceView(otherwise)}</p>` : nothing} ${likely ? html`<p>${say(likely)}</p>` : nothing}
      ${strength_note ? html`<p><strong>${t("works.strength")}</strong> ${sentenceView(strength_note)}</p>` : nothing}
      ${
        log ? html`<p class="log-line"><span class="fine">${t("works.prints")}</span> <code>${log}</code></p>` : nothing
      }
      ${fix ? fixButton(fix, send) : nothing}
      <p class="fine version">${say(version)}</p>
    </div>
  </li>`;
}

/** @param {import("../../types.d.ts").Look["log"]} log @param {Send} send */
function logView(log, send) {
  return html`
    <form
      class="ask"
      @submit=${(/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        const form = /** @type {HTMLFormElement} */ (event.target);
        send({ type: "log/explain", line: /** @type {HTMLInputElement} */ (form.elements.namedItem("line")).value });
      }}
    >
      <label class="field">
        <span>${t("works.paste")}</span>
        <span class="joined">
          <input
            id="log-line"
            name="line"
            type="text"
            autocomplete="off"
            spellcheck="false"
            placeholder="lora key not loaded: lora_unet_…"
          />
          <button class="button" type="submit" id="explain">${t("works.explain")}</button>
        </span>
      </label>
    </form>
    <div role="status" data-testid="log-answer">${log ? answerView(log) : nothing}</div>
  `;
}

/** @param {NonNullable<import("../../types.d.ts").Look["log"]>} log */
function answerView({ answer }) {
  if (!answer) {
    return html`<p class="answer">${t("works.no_answer")}</p>`;
  }
  const { means, reason, path } = answer;
  return html`<div class="answer">
    <p><strong>${sentenceView(means)}</strong></p>
    <p>${sentenceView(reason)}</p>
    ${path ? html`<p class="fine">${rich("works.layer", { path: html`<code>${path}</code>` })}</p>` : nothing}
  </div>`;
}
