/** A file's metadata -> named fields and training tags, or the raw text. */

import { html, nothing } from "lit-html";
import { plural } from "../format.js";
import { readable, trainingTags } from "../metadata.js";
import { copy } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").Report["metadata"]} Metadata */
/** @typedef {import("../types.d.ts").Send} Send */

const FIRST_TAGS = 30;

/** @param {Metadata} metadata @param {import("../types.d.ts").State} state @param {Send} send */
export function metadataView(metadata, { rawMetadata, form }, send) {
  const raw = JSON.stringify(metadata, null, 2);
  return html`
    <details class="card" id="metadata" data-testid="metadata">
      <summary><h3>Metadata</h3> <span class="fine">${plural(Object.keys(metadata).length, "entry", "entries")}, written by the training tool</span></summary>
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
      ${rawMetadata ? html`<pre class="scroller tall" tabindex="0" role="region" aria-label="Raw metadata">${raw}</pre>` : readableView(metadata, form.prompt, send)}
    </details>
  `;
}

/** @param {Metadata} metadata @param {string} prompt @param {Send} send */
function readableView(metadata, prompt, send) {
  const { known, others } = readable(metadata);
  const tags = trainingTags(metadata);
  return html`
    ${tags.length
      ? html`<h4>Most frequent training tags</h4>
          <p class="chips">
            ${tags.slice(0, FIRST_TAGS).map(
              ([tag, count]) =>
                html`<button class="chip" type="button" title="Add to the prompt" @click=${() => addToPrompt(tag, prompt, send)}>
                  <bdi>${tag}</bdi> <span class="fine">${count}</span>
                </button>`,
            )}
            ${tags.length > FIRST_TAGS ? html`<span class="fine">and ${tags.length - FIRST_TAGS} more in the raw text</span>` : nothing}
          </p>`
      : nothing}
    ${known.length ? html`<dl class="fields">${known.map(fieldView)}</dl>` : nothing}
    ${others.length ? html`<h4>Other entries</h4><dl class="fields">${others.map(fieldView)}</dl>` : nothing}
  `;
}

/** @param {string} tag @param {string} prompt @param {Send} send */
function addToPrompt(tag, prompt, send) {
  send({ type: "form/changed", change: { prompt: prompt.trim() ? `${prompt.trim()}, ${tag}` : tag } });
}

/** @param {import("../metadata.js").Field} field */
function fieldView({ key, label, value, code }) {
  return html`<div>
    <dt title=${key}>${label}</dt>
    <dd>${code ? html`<pre>${value}</pre>` : html`<bdi>${value}</bdi>`}</dd>
  </div>`;
}
