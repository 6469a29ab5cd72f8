/** Act one, Look: a file's report from the verdict down to its raw metadata. */

import { html, nothing } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { formatBytes } from "../../core/format.js";
import { canChange, usable, weighableBy } from "../../select.js";
import { t } from "../../words.js";
import { safely } from "../../ui/boundary.js";
import { changeView } from "../../edit/views/change.js";
import { compareView } from "./compare.js";
import { hashesView } from "./hashes.js";
import { importsView } from "./imports.js";
import { lookButton } from "../../share/views/link.js";
import { layerView } from "./layer.js";
import { mapView } from "./map.js";
import { copy, download } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { metadataView } from "./metadata.js";
import { leftoversView, modulesView } from "./modules.js";
import { sectionsView } from "./sections.js";
import { keepButton } from "../../library/views/library.js";
import { trainingView } from "./training.js";
import { tuneView } from "./tune.js";
import { verdictView } from "./verdict.js";
import { worksView } from "./works.js";

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
      ${entry.report ? reportView(state, entry, entry.report, send) : nothing}
    </section>
  `;
}

/**
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {boolean} keeps
 * @param {Send} send
 */
function toolsView({ id, name, address = "" }, { headers_only, sha256 }, keeps, send) {
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
    ${address || sha256 ? lookButton({ name, sha256, address }, send) : nothing}
    ${keeps && !id.startsWith("demo:") ? keepButton(id, send) : nothing}
  </p>`;
}

/**
 * @param {State} state
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {Send} send
 */
function reportView(state, entry, report, send) {
  const { look, pointed, chosen } = state;
  const row = report.modules.find(({ path }) => path === look.layer);
  const layer = row ? layerView(row, look.spectra[row.path], !report.headers_only, send) : nothing;
  const { training, metadata, loaders, coverage, imports, modules, leftovers, hashes } = report;
  const { fixes } = entry;
  const changeable = canChange(report);
  const scale = { model: weighableBy(state, entry), weighing: look.weighing };
  // Each part is drawn again only with what it says; a pointer on the map moves the map alone.
  const part = (/** @type {unknown[]} */ of, /** @type {() => unknown} */ view) =>
    guard([...of, state.language], () => safely(view));
  return html`
    ${sectionsView(report, usable(entry) && state.device.status !== "missing")}
    ${part([entry, scale.model, scale.weighing], () => verdictView(entry, report, scale, send))}
    ${imports.length ? part([report], () => importsView(imports, changeable, send)) : nothing}
    ${loaders.length ? part([loaders, fixes, look.log], () => worksView(report, fixes, look.log, send)) : nothing}
    ${
      coverage.some(({ covered }) => covered > 0)
        ? mapView(
            report,
            { pointed, chosen, layer: look.layer },
            layer,
            tuneView(state, report, changeable, send),
            send,
          )
        : nothing
    }
    ${look.settled ? restView() : nothing}
  `;

  /** What lies further down comes a moment later, so that no drawing takes long. */
  function restView() {
    return html`
      ${
        modules.length
          ? part([modules, state.table, chosen], () => modulesView(report, state.table, chosen, send))
          : nothing
      }
      ${leftovers.length ? part([leftovers], () => leftoversView(leftovers)) : nothing}
      ${
        training
          ? part([training, metadata, state.form.prompt], () => trainingView(training, metadata, state, send))
          : nothing
      }
      ${
        Object.keys(metadata).length
          ? part([metadata, state.rawMetadata], () => metadataView(metadata, state, send))
          : nothing
      }
      ${hashes ? part([hashes], () => hashesView(hashes, send)) : nothing}
      ${changeable ? part([look.change, state.files, report], () => changeView(state, entry, report, send)) : nothing}
      ${usable(entry) ? part([look.compared, state.files, entry], () => compareView(state, entry, send)) : nothing}
    `;
  }
}
