/** "Will it work?": what each program does with the file, why, and what a line of its log means. */

import { html, nothing } from "lit-html";
import { fixFor } from "../fixes.js";
import { LOADER_STATUS } from "../words.js";
import { fixButton } from "./fix.js";
import { check, partly, stop, warning } from "./icons.js";
import { textView } from "./text.js";

/** @typedef {import("../engine/types.d.ts").LoaderVerdict} Verdict */
/** @typedef {import("../types.d.ts").Send} Send */

const LOOK = { applied: "good", partly: "warn", ignored: "refuse", refused: "refuse" };
const ICON = { applied: check, partly, ignored: warning, refused: stop };

/** @param {import("../engine/types.d.ts").Report} report @param {import("../engine/types.d.ts").Fix[]} fixes @param {import("../types.d.ts").Look["log"]} log @param {Send} send */
export function worksView(report, fixes, log, send) {
  return html`
    <section class="card works" id="works" aria-labelledby="works-title" data-testid="works">
      <h3 id="works-title">Will it work?</h3>
      <ul class="loaders">${report.loaders.map((verdict) => loaderView(verdict, fixFor(fixes, verdict), send))}</ul>
      ${logView(log, send)}
    </section>
  `;
}

/** @param {Verdict} verdict @param {import("../fixes.js").Fix | null} fix @param {Send} send */
function loaderView({ loader, label, version, status, applied, total, reason, log, strength_note }, fix, send) {
  const { name, says } = LOADER_STATUS[status];
  return html`<li class="loader ${LOOK[status]}" data-loader=${loader} data-status=${status}>
    <span class="mark" title=${says}>${ICON[status]}</span>
    <div>
      <p class="loader-name"><strong>${label}</strong> <span class="status">${status === "partly" ? `${applied} of ${total} layers` : name}</span></p>
      ${reason ? html`<p>${textView(reason)}</p>` : nothing}
      ${strength_note ? html`<p><strong>Strength:</strong> ${textView(strength_note)}</p>` : nothing}
      ${log ? html`<p class="log-line"><span class="fine">It prints</span> <code>${log}</code></p>` : nothing}
      ${fix ? fixButton(fix, send) : nothing}
      <p class="fine version">${version}</p>
    </div>
  </li>`;
}

/** @param {import("../types.d.ts").Look["log"]} log @param {Send} send */
function logView(log, send) {
  return html`
    <form
      class="ask"
      @submit=${(/** @type {SubmitEvent} */ event) => {
        event.preventDefault();
        const form = /** @type {HTMLFormElement} */ (event.target);
        send({ type: "log/pasted", line: /** @type {HTMLInputElement} */ (form.elements.namedItem("line")).value });
      }}
    >
      <label class="field">
        <span>A program printed something? Paste the line</span>
        <span class="joined">
          <input id="log-line" name="line" type="text" autocomplete="off" spellcheck="false" placeholder="lora key not loaded: lora_unet_…" />
          <button class="button" type="submit" id="explain">Explain</button>
        </span>
      </label>
    </form>
    <div role="status" data-testid="log-answer">${log ? answerView(log) : nothing}</div>
  `;
}

/** @param {NonNullable<import("../types.d.ts").Look["log"]>} log */
function answerView({ answer }) {
  if (!answer) {
    return html`<p class="answer">
      None of the programs above prints such a line about a LoRA. Paste one whole line of its log, with the name of the key in it.
    </p>`;
  }
  const { means, reason, path } = answer;
  return html`<div class="answer">
    <p><strong>${textView(means)}</strong></p>
    <p>${textView(reason)}</p>
    ${path ? html`<p class="fine">The layer: <code>${path}</code></p>` : nothing}
  </div>`;
}
