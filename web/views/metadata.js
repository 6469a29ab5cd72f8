/** A file's metadata -> every entry by name, or the raw text. */

import { html, nothing } from "lit-html";
import { plural } from "../format.js";
import { readable } from "../metadata.js";
import { copy } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").Report["metadata"]} Metadata */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {Metadata} metadata @param {import("../types.d.ts").State} state @param {Send} send */
export function metadataView(metadata, { rawMetadata }, send) {
  const raw = JSON.stringify(metadata, null, 2);
  return html`
    <details class="card" id="metadata" data-testid="metadata">
      <summary><h3>Metadata</h3> <span class="fine">all ${plural(Object.keys(metadata).length, "entry", "entries")} of the header, as they stand there</span></summary>
      <div class="filter">
        <label class="check">
          <input
            type="checkbox"
            .checked=${rawMetadata}
            @change=${(/** @type {Event} */ { target }) =>
              send({ type: "metadata/raw", raw: /** @type {HTMLInputElement} */ (target).checked })}
          />
          Raw
        </label>
        <button class="button small" type="button" @click=${() => send({ type: "text/copied", text: raw, what: "Metadata" })}>
          ${copy} Copy all
        </button>
      </div>
      ${rawMetadata ? html`<pre class="scroller tall" tabindex="0" role="region" aria-label="Raw metadata">${raw}</pre>` : readableView(metadata)}
    </details>
  `;
}

/** @param {Metadata} metadata */
function readableView(metadata) {
  const { known, others } = readable(metadata);
  return html`
    ${known.length ? html`<dl class="fields">${known.map(fieldView)}</dl>` : nothing}
    ${others.length ? html`<h4>Other entries</h4><dl class="fields">${others.map(fieldView)}</dl>` : nothing}
  `;
}

/** @param {import("../metadata.js").Field} field */
function fieldView({ key, label, value, code }) {
  return html`<div>
    <dt title=${key}>${label}</dt>
    <dd>${code ? html`<pre tabindex="0">${value}</pre>` : html`<bdi>${value}</bdi>`}</dd>
  </div>`;
}
