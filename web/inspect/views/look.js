/** Act one, Look: a file's report from the verdict down to its raw metadata. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../../core/format.js";
import { usable } from "../../select.js";
import { t } from "../../words.js";
import { lookButton } from "../../share/views/link.js";
import { copy, download } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { keepButton } from "../../library/views/library.js";
import { barView } from "./bar.js";
import { sectionsView } from "./sections.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {import("../../types.d.ts").Entry} entry @param {Send} send */
export function lookView(state, entry, send) {
  return html`
    <section
      id="look"
      aria-labelledby="look-title"
      data-testid="report"
      data-status=${entry.report && !state.look.settled ? "reading" : entry.status}
      data-file=${entry.name}
    >
      <header class="act">
        <p class="act-name">${t("look.act")}</p>
        <h2 id="look-title"><bdi>${entry.name}</bdi></h2>
        <p class="fine">${formatBytes(entry.size)}</p>
        ${entry.report ? toolsView(entry, entry.report, state.library.ready, send) : nothing}
      </header>
      ${
        entry.status === "reading" && !entry.report
          ? html`<p class="card reading"><span class="spinner"></span> ${t("look.reading")}</p>`
          : nothing
      }
      ${entry.error ? messageView({ title: t("look.failed"), severity: "refuse", ...entry.error }) : nothing}
      ${entry.report ? reportView({ state, entry, report: entry.report, send }) : nothing}
    </section>
  `;
}

/**
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {boolean} keeps
 * @param {Send} send
 */
function toolsView({ id, name, address = "" }, report, keeps, send) {
  const { headers_only, sha256 } = report;
  return html`<p class="act-tools">
    <button class="button small" type="button" id="copy-report" @click=${() => send({ type: "report/copy" })}>
      ${copy} ${t("look.markdown")}
    </button>
    ${
      headers_only
        ? nothing
        : html`<button
            class="button small"
            type="button"
            id="save-report"
            @click=${() => send({ type: "report/save" })}
          >
            ${download} ${t("look.html")}
          </button>`
    }
    ${report.kind === "adapter" && !headers_only ? cardButtons(send) : nothing}
    ${address || sha256 ? lookButton({ name, sha256, address }, send) : nothing}
    ${keeps && !id.startsWith("demo:") ? keepButton(id, send) : nothing}
  </p>`;
}

/** @param {Send} send */
function cardButtons(send) {
  const button = (/** @type {"png" | "html"} */ as, /** @type {string} */ name) =>
    html`<button
      class="button small"
      type="button"
      id="card-${as}"
      title=${t("card.says")}
      @click=${() => send({ type: "card/save", as })}
    >
      ${download} ${name}
    </button>`;
  return html`${button("png", t("card.png"))} ${button("html", t("card.html"))}`;
}

/** @param {import("../../types.d.ts").Shown} shown */
function reportView(shown) {
  const draws = usable(shown.entry) && shown.state.device.status !== "missing";
  return html`${barView(shown, draws)} ${sectionsView(shown)}`;
}
