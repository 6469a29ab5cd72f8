/** A report -> the card that answers first: what it is, for what, how strong, what is wrong. */

import { html, nothing } from "lit-html";
import { formatBytes, formatCount, formatNumber, formatSeconds, formatValues } from "../../core/format.js";
import { advice, fixesOf } from "../fixes.js";
import { isOtherModel, refused, weighableBy, weighed } from "../../select.js";
import { familyName, language, t, word } from "../../words.js";
import { fixButton } from "./fix.js";
import { check, copy, stop, warning } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { sentenceView } from "../../ui/text.js";

/** @typedef {import("../../engine/types.d.ts").Report} Report */

/**
 * @typedef {{ model: string, weighing: import("../../types.d.ts").Look["weighing"] }} Scale the model to weigh by, ""
 * for none, and how far that is
 */

/** @type {import("../../types.d.ts").Section<Report>} */
export const verdictSection = {
  id: "look",
  title: "section.verdict",
  of: ({ report }) => report,
  from: ({ state, entry }) => [entry, weighableBy(state, entry), state.look.weighing],
  view: (report, { state, entry, send }) =>
    verdictView(entry, report, { model: weighableBy(state, entry), weighing: state.look.weighing }, send),
};

/**
 * @param {import("../../types.d.ts").Entry} entry
 * @param {Report} report
 * @param {Scale} scale
 * @param {import("../../types.d.ts").Send} send
 */
function verdictView(entry, report, scale, send) {
  const { id } = entry;
  return html`
    <div class="card verdict" data-testid="verdict">
      <p class="badges">${statusBadge(report)}<span class="badge">${word("kind", report.kind)}</span></p>
      <p class="sentence">${sentenceView(report.verdict)}</p>
      ${
        report.kind === "checkpoint" && report.container === "safetensors"
          ? html`<p>
              <button class="button" type="button" id="draw-with" @click=${() => send({ type: "model/used", id })}>
                ${t("verdict.draw")}
              </button>
            </p>`
          : nothing
      }
      ${report.kind === "adapter" && report.loaders.length ? worksLine(report) : nothing}
      ${report.health ? healthView(report.health, entry.fixes, send) : nothing}
      ${weighingView(entry, report, scale, send)} ${factsView(report, send)} ${restView(entry, send)}
    </div>
    ${
      report.problems.length
        ? html`<div class="problems" data-testid="problems">
            ${report.problems.map((problem) => problemView(problem, report, entry.fixes, send))}
          </div>`
        : nothing
    }
  `;
}

/**
 * What the verdict has said already is not said again.
 * @param {import("../../engine/types.d.ts").Problem} problem
 * @param {Report} report
 * @param {import("../../engine/types.d.ts").Fix[]} fixes
 * @param {import("../../types.d.ts").Send} send
 */
function problemView(problem, report, fixes, send) {
  const { class: kind, severity, message, modules } = problem;
  const mends = fixesOf(fixes, kind);
  return messageView({
    title: word("problem", kind),
    message: report.verdict.text.includes(message.text) ? "" : message,
    severity: isOtherModel(report) ? "warn" : severity,
    kind,
    details: modules,
    extra: mends.length ? html`<div class="fixes">${mends.map((fix) => fixButton(fix, send))}</div>` : undefined,
  });
}

/** "Works in ComfyUI and Forge; in part in A1111." @param {Report} report */
function worksLine({ loaders, health }) {
  const list = (/** @type {string} */ status) =>
    loaders.filter((verdict) => verdict.status === status).map(({ label }) => label);
  const [applied, partly] = [list("applied"), list("partly")];
  const format = new Intl.ListFormat(language());
  if (!applied.length && !partly.length)
    return html`<p class="works-line">${t("verdict.nowhere", { n: loaders.length })}</p>`;
  if (health?.untrained === 1)
    return html`<p class="works-line">${t("verdict.loads", { list: format.format([...applied, ...partly]) })}</p>`;
  const said = { list: format.format(applied), partly: format.format(partly) };
  const line = !partly.length
    ? t("verdict.works", said)
    : applied.length
      ? t("verdict.works_partly", said)
      : t("verdict.partly", said);
  return html`<p class="works-line">${line}</p>`;
}

/**
 * How strong, and how small it could be.
 * @param {import("../../engine/types.d.ts").Health} health
 * @param {import("../../engine/types.d.ts").Fix[]} fixes
 * @param {import("../../types.d.ts").Send} send
 */
function healthView({ relative, measured, sentences }, fixes, send) {
  return html`<div class="health" data-testid="health">
    <p>
      ${
        measured
          ? nothing
          : t(sentences.length ? "verdict.relative" : "verdict.usual", { percent: formatNumber(100 * relative) })
      }
      ${sentences.map((sentence) => html`${sentenceView(sentence)} `)}
    </p>
    ${advice(fixes).map((fix) => fixButton(fix, send))}
  </div>`;
}

/**
 * Its strengths beside the weights of the base model: what is known, how far it is, or the way to it.
 * @param {import("../../types.d.ts").Entry} entry
 * @param {Report} report
 * @param {Scale} scale
 * @param {import("../../types.d.ts").Send} send
 */
function weighingView({ id, beside = "" }, report, { model, weighing }, send) {
  const shares = weighed(report);
  const percent = (/** @type {number} */ at) => formatNumber(100 * shares[Math.floor(at)]);
  if (beside && shares.length) {
    const layers = t("n.layer", { n: shares.length });
    return html`<p data-testid="weighed">
      ${t("weigh.done", {
        model: beside,
        layers,
        middle: percent(shares.length / 2),
        most: percent(shares.length - 1),
      })}
    </p>`;
  }
  if (weighing && !weighing.error) {
    return html`<div class="rest" data-testid="weighing">
      <p id="weighing-what" class="fine">${t("weigh.running", { model, percent: Math.floor(100 * weighing.done) })}</p>
      <progress max="1" .value=${weighing.done} aria-labelledby="weighing-what"></progress>
      <button class="button small" type="button" id="stop-weighing" @click=${() => send({ type: "weigh/stop" })}>
        ${t("button.cancel")}
      </button>
    </div>`;
  }
  return html`${
    weighing?.error ? messageView({ title: t("weigh.failed"), severity: "warn", ...weighing.error }) : nothing
  }
  ${
    model
      ? html`<p>
          <button class="button small" type="button" id="weigh" @click=${() => send({ type: "weigh/start", id })}>
            ${t("weigh.ask", { model })}
          </button>
        </p>`
      : nothing
  }`;
}

/**
 * What is still to be read: how far, how long, or the way to start.
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../types.d.ts").Send} send
 */
function restView({ id, status, size, done, secondsLeft }, send) {
  if (status === "header") {
    return html`<div class="rest" data-testid="rest">
      <p>${t("verdict.header", { size: formatBytes(size) })}</p>
      <button class="button small" type="button" id="read-numbers" @click=${() => send({ type: "files/continue", id })}>
        ${t("verdict.read_on")}
      </button>
    </div>`;
  }
  if (status !== "reading") return nothing;
  return html`<div class="rest" data-testid="rest">
    <p id="rest-what" class="fine">
      ${
        secondsLeft === null
          ? t("verdict.reading", { percent: Math.floor(100 * done) })
          : t("verdict.reading_left", { percent: Math.floor(100 * done), left: formatSeconds(secondsLeft) })
      }
    </p>
    <progress max="1" .value=${done} aria-labelledby="rest-what"></progress>
  </div>`;
}

/** @param {Report} report */
function statusBadge(report) {
  const { length } = report.problems;
  if (isOtherModel(report)) return html`<span class="badge warn">${warning} ${t("verdict.no_lora")}</span>`;
  if (refused(report)) return html`<span class="badge refuse">${stop} ${t("verdict.unusable")}</span>`;
  if (length) return html`<span class="badge warn">${warning} ${t("n.problem", { n: length })}</span>`;
  return html`<span class="badge good"
    >${check} ${t(report.headers_only ? "verdict.clean_so_far" : "verdict.clean")}</span
  >`;
}

/** Only facts that the file has. @param {Report} report @param {import("../../types.d.ts").Send} send */
function factsView(report, send) {
  const { base, modules, algorithms, convention, sha256 } = report;
  const ranks = modules.flatMap(({ rank }) => rank ?? []);
  const alphas = modules.flatMap(({ alpha }) => alpha ?? []);
  const dtypes = [...new Set(modules.map(({ dtype }) => dtype))];
  return html`
    <dl class="facts">
      ${
        base.family !== "unknown" || base.evidence.length
          ? fact(
              term(t("fact.made_for"), t("term.made_for")),
              html`${familyName(base)}${
                base.evidence.length
                  ? html`<ul class="evidence">
                      ${base.evidence.map((line) => html`<li>${sentenceView(line)}</li>`)}
                    </ul>`
                  : nothing
              }`,
              "wide",
            )
          : nothing
      }
      ${
        algorithms.length
          ? fact(
              term(t("fact.algorithm"), t("term.algorithm")),
              algorithms.map((name) => word("algorithm", name)).join(", "),
            )
          : nothing
      }
      ${convention ? fact(term(t("fact.names"), t("term.names")), word("convention", convention)) : nothing}
      ${ranks.length ? fact(term(t("fact.rank"), t("term.rank")), formatValues(ranks)) : nothing}
      ${alphas.length ? fact(term(t("fact.alpha"), t("term.alpha")), formatValues(alphas)) : nothing}
      ${modules.length ? fact(term(t("fact.modules"), t("term.modules")), formatCount(modules.length)) : nothing}
      ${dtypes.length ? fact(term(t("fact.precision"), t("term.precision")), dtypes.join(", ")) : nothing}
      ${fact(t("fact.size"), formatBytes(report.size))}
      ${
        sha256
          ? fact(
              "SHA-256",
              html`<code>${sha256.slice(0, 12)}…</code>
                <button
                  class="quiet"
                  type="button"
                  aria-label=${t("verdict.copy_hash")}
                  title=${t("verdict.copy_hash")}
                  @click=${() => send({ type: "text/copy", text: sha256, what: "SHA-256" })}
                >
                  ${copy}
                </button>`,
            )
          : nothing
      }
    </dl>
  `;
}

/** A word of the field, explained on hover or when it is pressed. @param {string} name @param {string} says */
function term(name, says) {
  return html`<details class="term" name="term">
    <summary title=${says}>${name}</summary>
    <p>${says}</p>
  </details>`;
}

/** @param {unknown} name @param {unknown} value @param {string} [size] */
function fact(name, value, size = "") {
  return html`<div class=${size}>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}
