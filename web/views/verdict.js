/** A report -> the card that answers first: what it is, for what, how strong, what is wrong. */

import { html, nothing } from "lit-html";
import { formatBytes, formatNumber, formatSeconds, formatValues, plural } from "../format.js";
import { advice, fixesOf } from "../fixes.js";
import { refused } from "../select.js";
import { ALGORITHMS, CONVENTIONS, KINDS, PROBLEMS, word } from "../words.js";
import { fixButton } from "./fix.js";
import { check, copy, stop, warning } from "./icons.js";
import { messageView } from "./message.js";
import { textView } from "./text.js";

/** @typedef {import("../engine/types.d.ts").Report} Report */

/** @param {import("../types.d.ts").Entry} entry @param {Report} report @param {import("../types.d.ts").Send} send */
export function verdictView(entry, report, send) {
  const { id } = entry;
  return html`
    <div class="card verdict" data-testid="verdict">
      <p class="badges">${statusBadge(report)}<span class="badge">${word(KINDS, report.kind)}</span></p>
      <p class="sentence">${textView(report.verdict)}</p>
      ${report.kind === "checkpoint" && report.container === "safetensors"
        ? html`<p><button class="button" type="button" id="draw-with" @click=${() => send({ type: "model/used", id })}>Draw with this model</button></p>`
        : nothing}
      ${report.kind === "adapter" && report.loaders.length ? worksLine(report.loaders) : nothing}
      ${report.health ? healthView(report.health, entry.fixes, send) : nothing} ${factsView(report, send)} ${restView(entry, send)}
    </div>
    ${report.problems.length
      ? html`<div class="problems" data-testid="problems">
          ${report.problems.map((problem) => problemView(problem, report, entry.fixes, send))}
        </div>`
      : nothing}
  `;
}

/** What the verdict has said already is not said again. @param {import("../engine/types.d.ts").Problem} problem @param {Report} report @param {import("../engine/types.d.ts").Fix[]} fixes @param {import("../types.d.ts").Send} send */
function problemView(problem, report, fixes, send) {
  const { class: kind, severity, message, modules } = problem;
  const mends = fixesOf(fixes, kind);
  return messageView({
    title: word(PROBLEMS, kind),
    message: report.verdict.includes(message) ? "" : message,
    severity,
    kind,
    details: modules,
    extra: mends.length ? html`<div class="fixes">${mends.map((fix) => fixButton(fix, send))}</div>` : undefined,
  });
}

/** "Works in ComfyUI and Forge; in part in A1111." @param {Report["loaders"]} loaders */
function worksLine(loaders) {
  const list = (/** @type {string} */ status) => loaders.filter((verdict) => verdict.status === status).map(({ label }) => label);
  const [applied, partly] = [list("applied"), list("partly")];
  const format = new Intl.ListFormat("en");
  if (!applied.length && !partly.length) return html`<p class="works-line">None of the ${loaders.length} programs that were looked at applies it.</p>`;
  const words = [applied.length ? `Works in ${format.format(applied)}` : "", partly.length ? `${applied.length ? "in" : "In"} part in ${format.format(partly)}` : ""];
  return html`<p class="works-line">${words.filter(Boolean).join("; ")}.</p>`;
}

/** How strong, and how small it could be. @param {import("../engine/types.d.ts").Health} health @param {import("../engine/types.d.ts").Fix[]} fixes @param {import("../types.d.ts").Send} send */
function healthView({ relative, sentences }, fixes, send) {
  return html`<div class="health" data-testid="health">
    <p>
      It changes the weights by about ${formatNumber(100 * relative)} %${sentences.length ? ". " : ", as most LoRAs do."}
      ${sentences.join(" ")}
    </p>
    ${advice(fixes).map((fix) => fixButton(fix, send))}
  </div>`;
}

/** What is still to be read: how far, how long, or the way to start. @param {import("../types.d.ts").Entry} entry @param {import("../types.d.ts").Send} send */
function restView({ id, status, size, done, secondsLeft }, send) {
  if (status === "header") {
    return html`<div class="rest" data-testid="rest">
      <p>This is what its header says. Strengths, spectra and hashes stand in its numbers: ${formatBytes(size)}.</p>
      <button class="button small" type="button" id="read-numbers" @click=${() => send({ type: "files/continued", id })}>Read them too</button>
    </div>`;
  }
  if (status !== "reading") return nothing;
  return html`<div class="rest" data-testid="rest">
    <p id="rest-what" class="fine">
      Reading its numbers: ${Math.floor(100 * done)} %${secondsLeft === null ? "" : `, about ${formatSeconds(secondsLeft)} left`}
    </p>
    <progress max="1" .value=${done} aria-labelledby="rest-what"></progress>
  </div>`;
}

/** @param {Report} report */
function statusBadge(report) {
  const { length } = report.problems;
  if (refused(report)) return html`<span class="badge refuse">${stop} Cannot be used${report.kind === "checkpoint" ? " as a LoRA" : nothing}</span>`;
  if (length) return html`<span class="badge warn">${warning} ${plural(length, "problem")}</span>`;
  return html`<span class="badge good">${check} No problems found${report.headers_only ? " so far" : ""}</span>`;
}

/** Only facts that the file has. @param {Report} report @param {import("../types.d.ts").Send} send */
function factsView(report, send) {
  const { base, modules, algorithms, convention, sha256 } = report;
  const ranks = modules.flatMap(({ rank }) => rank ?? []);
  const alphas = modules.flatMap(({ alpha }) => alpha ?? []);
  const dtypes = [...new Set(modules.map(({ dtype }) => dtype))];
  return html`
    <dl class="facts">
      ${base.family !== "unknown" || base.evidence.length
        ? fact("Made for", html`${base.label}${base.evidence.map((line) => html`<span class="evidence">${line}</span>`)}`, "wide")
        : nothing}
      ${algorithms.length ? fact("Algorithm", algorithms.map((name) => word(ALGORITHMS, name)).join(", ")) : nothing}
      ${convention ? fact("Names", word(CONVENTIONS, convention)) : nothing}
      ${ranks.length ? fact("Rank", formatValues(ranks)) : nothing}
      ${alphas.length ? fact("Alpha", formatValues(alphas)) : nothing}
      ${modules.length ? fact("Modules", modules.length.toLocaleString("en")) : nothing}
      ${dtypes.length ? fact("Precision", dtypes.join(", ")) : nothing}
      ${fact("Size", formatBytes(report.size))}
      ${sha256
        ? fact(
            "SHA-256",
            html`<code>${sha256.slice(0, 12)}…</code>
              <button
                class="quiet"
                type="button"
                aria-label="Copy the whole SHA-256"
                title="Copy the whole SHA-256"
                @click=${() => send({ type: "text/copied", text: sha256, what: "SHA-256" })}
              >
                ${copy}
              </button>`,
          )
        : nothing}
    </dl>
  `;
}

/** @param {string} name @param {unknown} value @param {string} [size] */
function fact(name, value, size = "") {
  return html`<div class=${size}><dt>${name}</dt><dd>${value}</dd></div>`;
}
