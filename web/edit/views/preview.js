/** What an edit changes -> sentences, with the lists behind them. */

import { html, nothing } from "lit-html";
import { formatBytes, formatCount, formatFixed, formatNumber } from "../../core/format.js";
import { rich, t, word } from "../../words.js";
import { sentenceView } from "../../ui/text.js";

/** @typedef {import("../../engine/types.d.ts").Preview} Preview */

/** Rows of a list that are drawn. */
const FIRST = 100;

/** @param {Preview} preview @param {boolean} made whether it has been done */
export function previewView(preview, made) {
  const { size_before, size_after } = /** @type {{ size_before?: number, size_after?: number }} */ (preview);
  return html`<div class="change-preview" data-testid="preview" data-kind=${preview.kind}>
    <h4>${made ? t("preview.done") : t("preview.will")}</h4>
    <ul class="changes">
      ${sentences(preview)}
    </ul>
    ${
      size_after === undefined
        ? nothing
        : html`<p data-testid="sizes">
            ${t("preview.size")} ${size_before === undefined ? nothing : html`${formatBytes(size_before)} → `}<strong
              >${formatBytes(size_after)}</strong
            >
          </p>`
    }
  </div>`;
}

/** @param {Preview} preview */
function sentences(preview) {
  switch (preview.kind) {
    case "convert":
      return converted(preview);
    case "resize":
    case "merge":
      return resized(preview);
    case "metadata":
      return preview.changes.length ? changedEntries(preview.changes) : html`<li>${t("preview.same")}</li>`;
    case "bake": {
      const { tensors_after, warnings } = preview;
      return html`<li>${t("preview.bake", { tensors: tensors(preview.tensors), all: formatCount(tensors_after) })}</li>
        ${warnings.map((warning) => html`<li>${sentenceView(warning)}</li>`)}`;
    }
    case "extract": {
      const { unchanged, left_out } = preview;
      return html`<li>
          ${t("preview.extract", { layers: layers(preview.layers), unchanged: formatCount(unchanged) })}
        </li>
        ${said(
          left_out.length,
          t("preview.no_place", { tensors: tensors(left_out.length) }),
          left_out.map((key) => html`<code>${key}</code>`),
        )}`;
    }
    case "export":
      return html`<li>${t("preview.export", { tensors: tensors(preview.tensors) })}</li>`;
    default:
      return nothing;
  }
}

/** @param {Extract<Preview, { kind: "convert" }>} preview */
function converted(preview) {
  const { to, renamed, dropped, baked, rebuilt, split, fused, retyped, tensors_after } = preview;
  const inexact = rebuilt.filter(({ exact }) => !exact);
  const kept = inexact.length ? Math.min(...inexact.map(({ energy }) => energy)) : 1;
  return html`
    ${said(
      renamed.length,
      t(to ? "preview.renamed" : "preview.names", {
        names: t("n.name", { n: renamed.length }),
        target: word("target", to ?? ""),
      }),
      renamed.map(({ from, to }) => html`<code>${from}</code> → <code>${to}</code>`),
    )}
    ${said(
      rebuilt.length,
      t(inexact.length ? "preview.rebuilt_lossy" : "preview.rebuilt", {
        layers: layers(rebuilt.length),
        algorithm: word("algorithm", rebuilt[0]?.algorithm ?? ""),
        exact: rebuilt.length - inexact.length,
        percent: percent(kept),
      }),
      rebuilt.map(keptRow),
    )}
    ${said(
      baked.length,
      t("preview.baked", { layers: layers(baked.length) }),
      baked.map(({ path, scale }) => html`<code>${path}</code> × ${formatNumber(scale)}`),
    )}
    ${said(
      split.length,
      t("preview.split", { layers: t("n.fused_layer", { n: split.length }) }),
      split.map((path) => html`<code>${path}</code>`),
    )}
    ${said(
      fused.length,
      t("preview.fused", { layers: layers(fused.length) }),
      fused.map((path) => html`<code>${path}</code>`),
    )}
    ${said(retyped, t("preview.retyped", { layers: layers(retyped) }))}
    ${said(
      dropped.length,
      t("preview.dropped", { tensors: tensors(dropped.length) }),
      dropped.map(({ key, reason }) => html`<code>${key}</code>: ${sentenceView(reason)}`),
    )}
    ${
      renamed.length + rebuilt.length + baked.length + split.length + fused.length + retyped + dropped.length
        ? nothing
        : html`<li>${t("preview.header", { tensors: tensors(tensors_after) })}</li>`
    }
  `;
}

/** @param {Extract<Preview, { kind: "resize" | "merge" }>} preview */
function resized(preview) {
  const { energy, dropped } = preview;
  return html`
    ${
      preview.kind === "merge"
        ? html`<li>${t("preview.merged", { layers: layers(preview.changed), shared: preview.shared })}</li>
            ${conflictsView(preview.conflicts)}`
        : nothing
    }
    ${
      energy === null
        ? html`<li>${t("preview.kept_at_end")}</li>`
        : said(
            preview.layers.length,
            t("preview.energy", { percent: percent(energy), ranks: ranks(preview.layers) }),
            preview.layers.map(keptRow),
          )
    }
    ${said(
      dropped.length,
      t("preview.dropped", { tensors: tensors(dropped.length) }),
      dropped.map(({ key, reason }) => html`<code>${key}</code>: ${sentenceView(reason)}`),
    )}
  `;
}

/** The shared layers, the least similar first. @param {import("../../engine/types.d.ts").Conflict[]} conflicts */
function conflictsView(conflicts) {
  const opposed = conflicts.filter(({ cosine }) => cosine !== null && cosine < 0).length;
  const mean = conflicts.reduce((sum, { opposite }) => sum + opposite, 0) / Math.max(1, conflicts.length);
  if (!conflicts.length) return nothing;
  return html`<li>
    <details>
      <summary>${t("preview.conflicts", { n: opposed, percent: percent(mean) })}</summary>
      <div class="scroller tall" tabindex="0" role="region" aria-label=${t("preview.conflict_table")}>
        <table>
          <thead>
            <tr>
              <th scope="col" class="numeric">${t("series_column.cosine")}</th>
              <th scope="col" class="numeric">${t("preview.opposite")}</th>
              <th scope="col">${t("table.layer")}</th>
            </tr>
          </thead>
          <tbody>
            ${conflicts.slice(0, FIRST).map(
              ({ path, cosine, opposite }) =>
                html`<tr>
                  <td class="numeric">${cosine === null ? "–" : formatFixed(cosine, 3).replace("-", "−")}</td>
                  <td class="numeric">${percent(opposite)}</td>
                  <th scope="row"><code>${path}</code></th>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${conflicts.length > FIRST ? html`<p>${t("message.more", { n: conflicts.length - FIRST })}</p>` : nothing}
    </details>
  </li>`;
}

/** @param {Extract<Preview, { kind: "metadata" }>["changes"]} changes */
function changedEntries(changes) {
  return html`<li>
    ${t("preview.entries", { entries: t("n.entry", { n: changes.length }) })}
    <div class="scroller" tabindex="0" role="region" aria-label=${t("preview.table")}>
      <table class="wrap">
        <thead>
          <tr>
            <th scope="col">${t("meta.key")}</th>
            <th scope="col">${t("preview.before")}</th>
            <th scope="col">${t("preview.after")}</th>
          </tr>
        </thead>
        <tbody>
          ${changes.map(
            ({ key, before, after }) =>
              html`<tr>
                <th scope="row"><code>${key}</code></th>
                <td>${short(before)}</td>
                <td>${short(after)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </li>`;
}

/**
 * A sentence, with the list behind it where there is one; nothing for a count of 0.
 * @param {number} count
 * @param {string} sentence
 * @param {unknown[]} [list]
 */
function said(count, sentence, list = []) {
  if (!count) return nothing;
  if (!list.length) return html`<li>${sentence}</li>`;
  return html`<li>
    <details>
      <summary>${sentence}</summary>
      <ul class="keys">
        ${list.slice(0, FIRST).map((row) => html`<li>${row}</li>`)}
        ${list.length > FIRST ? html`<li>${t("message.more", { n: list.length - FIRST })}</li>` : nothing}
      </ul>
    </details>
  </li>`;
}

/** @param {import("../../engine/types.d.ts").KeptRow} row */
function keptRow({ path, rank_before, rank, energy }) {
  return rich("preview.kept", {
    path: html`<code>${path}</code>`,
    before: rank_before ?? t("preview.full"),
    after: rank,
    percent: percent(energy),
  });
}

/** @param {import("../../engine/types.d.ts").KeptRow[]} rows */
function ranks(rows) {
  const span = (/** @type {number[]} */ list) =>
    Math.min(...list) === Math.max(...list)
      ? `${list[0]}`
      : t("preview.to", { least: Math.min(...list), most: Math.max(...list) });
  const before = rows.flatMap(({ rank_before }) => rank_before ?? []);
  return `${before.length ? `${span(before)} → ` : ""}${span(rows.map(({ rank }) => rank))}`;
}

/** @param {number} n */
const layers = (n) => t("n.layer", { n });

/** @param {number} n */
const tensors = (n) => t("n.tensor", { n });

/** @param {number} share */
export function percent(share) {
  return t("values.percent", { percent: formatFixed(100 * share, share > 0.9995 && share < 1 ? 3 : 1) });
}

/** @param {string | null} value */
function short(value) {
  if (value === null) return html`<span class="fine">${t("table.not_there")}</span>`;
  return value.length > 200 ? `${value.slice(0, 200)}…` : value;
}
