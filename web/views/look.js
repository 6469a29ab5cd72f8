/** Act one, Look: a file's report from the verdict down to its raw metadata. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../format.js";
import { coverageView } from "./coverage.js";
import { messageView } from "./message.js";
import { metadataView } from "./metadata.js";
import { leftoversView, modulesView } from "./modules.js";
import { verdictView } from "./verdict.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {import("../types.d.ts").Entry} entry @param {Send} send */
export function lookView(state, entry, send) {
  return html`
    <section id="look" aria-labelledby="look-title" data-testid="report" data-status=${entry.status} data-file=${entry.name}>
      <header class="act">
        <p class="act-name">Look</p>
        <h2 id="look-title"><bdi>${entry.name}</bdi></h2>
        <p class="fine">${formatBytes(entry.size)}</p>
      </header>
      ${entry.status === "reading" ? html`<p class="card reading"><span class="spinner"></span> Reading the file…</p>` : nothing}
      ${entry.error
        ? messageView({ title: "The file could not be read", severity: "refuse", ...entry.error })
        : nothing}
      ${entry.report ? reportView(state, entry.id, entry.report, send) : nothing}
    </section>
  `;
}

/** @param {State} state @param {string} id @param {import("../engine/types.d.ts").Report} report @param {Send} send */
function reportView(state, id, report, send) {
  return html`
    ${verdictView(id, report, send)}
    ${report.coverage.some(({ covered }) => covered > 0) ? coverageView(report, state.pointed, state.chosen, send) : nothing}
    ${report.modules.length ? modulesView(report, state.table, state.chosen, send) : nothing}
    ${report.leftovers.length ? leftoversView(report.leftovers) : nothing}
    ${Object.keys(report.metadata).length ? metadataView(report.metadata, state, send) : nothing}
  `;
}
