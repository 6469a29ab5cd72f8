/** What an edit changes -> sentences, with the lists behind them. */

import { html, nothing } from "lit-html";
import { formatBytes, formatNumber, plural } from "../format.js";
import { ALGORITHMS, TARGETS, word } from "../words.js";

/** @typedef {import("../engine/types.d.ts").Preview} Preview */

/** Rows of a list that are drawn. */
const FIRST = 100;

/** @param {Preview} preview @param {boolean} made whether it has been done */
export function previewView(preview, made) {
  const { size_before, size_after } = /** @type {{ size_before?: number, size_after?: number }} */ (preview);
  return html`<div class="change-preview" data-testid="preview" data-kind=${preview.kind}>
    <h4>${made ? "What changed" : "What will change"}</h4>
    <ul class="changes">${sentences(preview)}</ul>
    ${size_after === undefined ? nothing : html`<p data-testid="sizes">Size: ${size_before === undefined ? nothing : html`${formatBytes(size_before)} → `}<strong>${formatBytes(size_after)}</strong></p>`}
  </div>`;
}

/** @param {Preview} preview */
function sentences(preview) {
  switch (preview.kind) {
    case "convert": {
      const { to, renamed, dropped, baked, rebuilt, split, fused, retyped, tensors_after } = preview;
      const inexact = rebuilt.filter(({ exact }) => !exact);
      const kept = inexact.length ? Math.min(...inexact.map(({ energy }) => energy)) : 1;
      return html`
        ${said(renamed.length, `${plural(renamed.length, "name")} ${to ? `as ${TARGETS[to]} has them` : "change"}`, renamed.map(({ from, to }) => html`<code>${from}</code> → <code>${to}</code>`))}
        ${said(rebuilt.length, `${plural(rebuilt.length, "layer")} of ${word(ALGORITHMS, rebuilt[0]?.algorithm ?? "")} become LoRA: ${inexact.length ? `${rebuilt.length - inexact.length} exactly, the others keep at least ${percent(kept)} of their energy` : "exactly, but for rounding"}`, rebuilt.map(keptRow))}
        ${said(baked.length, `The scale of ${plural(baked.length, "layer")} is multiplied into the numbers`, baked.map(({ path, scale }) => html`<code>${path}</code> × ${formatNumber(scale)}`))}
        ${said(split.length, `${plural(split.length, "fused layer")} split into parts`, split.map((path) => html`<code>${path}</code>`))}
        ${said(fused.length, `${plural(fused.length, "layer")} fused of parts`, fused.map((path) => html`<code>${path}</code>`))}
        ${said(retyped, `${plural(retyped, "layer")} in another number type`)}
        ${said(dropped.length, `${plural(dropped.length, "tensor")} left out`, dropped.map(({ key, reason }) => html`<code>${key}</code>: ${reason}`))}
        ${renamed.length + rebuilt.length + baked.length + split.length + fused.length + retyped + dropped.length ? nothing : html`<li>Nothing but the header: ${plural(tensors_after, "tensor")} stay as they are.</li>`}
      `;
    }
    case "resize":
    case "merge": {
      const { layers, energy, dropped } = preview;
      return html`
        ${preview.kind === "merge" ? html`<li>${plural(layers.length, "layer")}, ${preview.shared} of them changed by more than one file</li>` : nothing}
        ${said(layers.length, `${percent(energy)} of the energy is kept; ranks ${ranks(layers)}`, layers.map(keptRow))}
        ${said(dropped.length, `${plural(dropped.length, "tensor")} left out`, dropped.map(({ key, reason }) => html`<code>${key}</code>: ${reason}`))}
      `;
    }
    case "metadata":
      return preview.changes.length
        ? html`<li>
            ${plural(preview.changes.length, "entry", "entries")} of the header
            <div class="scroller" tabindex="0" role="region" aria-label="Changes of the metadata">
              <table class="wrap">
                <thead><tr><th scope="col">Key</th><th scope="col">Before</th><th scope="col">After</th></tr></thead>
                <tbody>${preview.changes.map(({ key, before, after }) => html`<tr><th scope="row"><code>${key}</code></th><td>${short(before)}</td><td>${short(after)}</td></tr>`)}</tbody>
              </table>
            </div>
          </li>`
        : html`<li>Nothing: the header says all that already.</li>`;
    case "bake": {
      const { tensors, tensors_after, warnings } = preview;
      return html`<li>${plural(tensors, "tensor")} of ${tensors_after.toLocaleString("en")} get other numbers</li>
        ${warnings.map((warning) => html`<li>${warning}</li>`)}`;
    }
    case "extract": {
      const { layers, unchanged, left_out } = preview;
      return html`<li>${plural(layers, "layer")} differ and ${unchanged.toLocaleString("en")} are the same</li>
        ${said(left_out.length, `${plural(left_out.length, "tensor")} differ and have no place in a LoRA`, left_out.map((key) => html`<code>${key}</code>`))}`;
    }
    case "export":
      return html`<li>${plural(preview.tensors, "tensor")} as they are, in a file that cannot carry code</li>`;
    default:
      return nothing;
  }
}

/** A sentence, with the list behind it where there is one; nothing for a count of 0. @param {number} count @param {string} sentence @param {unknown[]} [list] */
function said(count, sentence, list = []) {
  if (!count) return nothing;
  if (!list.length) return html`<li>${sentence}</li>`;
  return html`<li>
    <details>
      <summary>${sentence}</summary>
      <ul class="keys">
        ${list.slice(0, FIRST).map((row) => html`<li>${row}</li>`)} ${list.length > FIRST ? html`<li>… and ${list.length - FIRST} more</li>` : nothing}
      </ul>
    </details>
  </li>`;
}

/** @param {import("../engine/types.d.ts").KeptRow} row */
function keptRow({ path, rank_before, rank, energy }) {
  return html`<code>${path}</code>: rank ${rank_before ?? "full"} → ${rank}, ${percent(energy)} kept`;
}

/** @param {import("../engine/types.d.ts").KeptRow[]} layers */
function ranks(layers) {
  const span = (/** @type {number[]} */ list) => (Math.min(...list) === Math.max(...list) ? `${list[0]}` : `${Math.min(...list)} to ${Math.max(...list)}`);
  const before = layers.flatMap(({ rank_before }) => rank_before ?? []);
  return `${before.length ? `${span(before)} → ` : ""}${span(layers.map(({ rank }) => rank))}`;
}

/** @param {number} share */
function percent(share) {
  return `${(100 * share).toFixed(share > 0.9995 && share < 1 ? 3 : 1)} %`;
}

/** @param {string | null} value */
function short(value) {
  if (value === null) return html`<span class="fine">not there</span>`;
  return value.length > 200 ? `${value.slice(0, 200)}…` : value;
}
