/** A file's metadata -> every entry by name, or the raw text. */

import { html, nothing } from "lit-html";
import { readable } from "../metadata.js";
import { t } from "../../words.js";
import { copy } from "../../ui/icons.js";

/** @typedef {import("../../engine/types.d.ts").Report["metadata"]} Metadata */
/** @typedef {import("../../types.d.ts").Send} Send */

/**
 * Entries, letters of one, and letters of the raw text on show: a header may have megabytes of them. The copy has all.
 */
const MOST_FIELDS = 200;
const MOST_LETTERS = 20_000;
const MOST_RAW = 200_000;

/** @type {import("../../types.d.ts").Section<Metadata>} */
export const metadataSection = {
  id: "metadata",
  title: "metadata.title",
  late: true,
  of: ({ report: { metadata } }) => (Object.keys(metadata).length ? metadata : null),
  from: ({ report, state }) => [report.metadata, state.rawMetadata],
  view: (metadata, { state, send }) => metadataView(metadata, state, send),
};

/** @param {Metadata} metadata @param {import("../../types.d.ts").State} state @param {Send} send */
function metadataView(metadata, { rawMetadata }, send) {
  const raw = () => JSON.stringify(metadata, null, 2);
  return html`
    <details class="card" id="metadata" data-testid="metadata">
      <summary>
        <h3>${t("metadata.title")}</h3>
        <span class="fine">${t("metadata.all", { entries: t("n.entry", { n: Object.keys(metadata).length }) })}</span>
      </summary>
      <div class="filter">
        <label class="check">
          <input
            type="checkbox"
            .checked=${rawMetadata}
            @change=${(/** @type {Event} */ { target }) =>
              send({ type: "metadata/raw", raw: /** @type {HTMLInputElement} */ (target).checked })}
          />
          ${t("metadata.raw")}
        </label>
        <button
          class="button small"
          type="button"
          @click=${() => send({ type: "text/copy", text: raw(), what: t("metadata.title") })}
        >
          ${copy} ${t("metadata.copy")}
        </button>
      </div>
      ${
        rawMetadata
          ? html`<pre class="scroller tall" tabindex="0" role="region" aria-label=${t("metadata.raw_label")}>
${shortened(raw(), MOST_RAW)}</pre>`
          : readableView(metadata)
      }
    </details>
  `;
}

/** @param {Metadata} metadata */
function readableView(metadata) {
  const { known, others } = readable(metadata);
  return html`
    ${known.length ? html`<dl class="fields">${known.map(fieldView)}</dl>` : nothing}
    ${
      others.length
        ? html`<h4>${t("metadata.others")}</h4>
            <dl class="fields">${others.slice(0, MOST_FIELDS).map(fieldView)}</dl>`
        : nothing
    }
    ${
      others.length > MOST_FIELDS
        ? html`<p class="fine">${t("metadata.more", { n: others.length - MOST_FIELDS })}</p>`
        : nothing
    }
  `;
}

/** @param {import("../metadata.js").Field} field */
function fieldView({ key, label, value, code }) {
  return html`<div>
    <dt title=${key}>${label}</dt>
    <dd>
      ${
        code
          ? html`<pre tabindex="0">${shortened(value, MOST_LETTERS)}</pre>`
          : html`<bdi>${shortened(value, MOST_LETTERS)}</bdi>`
      }
    </dd>
  </div>`;
}

/** @param {string} text @param {number} most */
function shortened(text, most) {
  return text.length > most ? `${text.slice(0, most)}… ${t("metadata.cut", { n: text.length - most })}` : text;
}
