/** The opened files as a row of buttons, each with one that closes it. */

import { html } from "lit-html";
import { isOtherModel, refused } from "../../select.js";
import { t } from "../../words.js";
import { check, cross, stop, warning } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").Entry} Entry */

/** @param {import("../../types.d.ts").State} state @param {import("../../types.d.ts").Send} send */
export function filesView({ files, selected }, send) {
  return html`
    <nav class="files" aria-label=${t("files.label")}>
      <ul>
        ${[...files].reverse().map(
          (entry) =>
            html`<li>
              <button
                type="button"
                class="tab"
                aria-current=${entry.id === selected ? "true" : "false"}
                @click=${() => send({ type: "files/select", id: entry.id })}
              >
                ${mark(entry)}<bdi>${entry.name}</bdi>
              </button>
              <button
                class="quiet"
                type="button"
                aria-label=${t("files.close", { name: entry.name })}
                title=${t("files.close", { name: entry.name })}
                @click=${() => send({ type: "files/close", id: entry.id })}
              >
                ${cross}
              </button>
            </li>`,
        )}
      </ul>
    </nav>
  `;
}

/** @param {Entry} entry */
function mark({ status, report }) {
  if (status === "reading") return html`<span class="spinner" aria-label=${t("files.reading")}></span>`;
  if (report && isOtherModel(report)) return html`<span class="warn" title=${t("verdict.no_lora")}>${warning}</span>`;
  if (status === "failed" || !report || refused(report))
    return html`<span class="refuse" title=${t("verdict.unusable")}>${stop}</span>`;
  if (report.problems.length) return html`<span class="warn" title=${t("files.remarks")}>${warning}</span>`;
  return html`<span class="good" title=${t("verdict.clean")}>${check}</span>`;
}
