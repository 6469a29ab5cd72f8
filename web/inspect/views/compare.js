/** Two files side by side: what they are to each other, layer by layer, and where their metadata differ. */

import { html, nothing } from "lit-html";
import { formatNumber } from "../../core/format.js";
import { usable } from "../../select.js";
import { t } from "../../words.js";
import { messageView } from "../../ui/message.js";
import { sentenceView } from "../../ui/text.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../../engine/types.d.ts").ComparedFiles} Compared */

const FIRST_ROWS = 200;

/** @type {import("../../types.d.ts").Section<import("../../types.d.ts").Entry>} */
export const compareSection = {
  id: "compare",
  title: "section.compare",
  late: true,
  of: ({ entry }) => (usable(entry) ? entry : null),
  from: ({ state, entry }) => [state.look.compared, state.files, entry],
  view: (entry, { state, send }) => compareView(state, entry, send),
};

/** @param {State} state @param {import("../../types.d.ts").Entry} entry @param {Send} send */
function compareView({ files, look: { compared } }, entry, send) {
  const others = files.filter((other) => other.id !== entry.id && usable(other));
  const other = files.find(({ id }) => id === compared?.id);
  return html`
    <section
      class="card compare"
      id="compare"
      aria-labelledby="compare-title"
      data-testid="compare"
      data-status=${compared?.status ?? "none"}
    >
      <h3 id="compare-title">${t("compare.title")}</h3>
      ${
        others.length
          ? html`<label class="field narrow">
              <span>${t("compare.other")}</span>
              <select
                id="compare-with"
                @change=${(/** @type {Event} */ { target }) =>
                  send({ type: "compare/start", id: /** @type {HTMLSelectElement} */ (target).value })}
              >
                <option value="" ?selected=${!compared}>${t("option.choose")}</option>
                ${others.map(
                  ({ id, name }) => html`<option value=${id} ?selected=${id === compared?.id}>${name}</option>`,
                )}
              </select>
            </label>`
          : html`<p class="fine">${t("compare.first")}</p>`
      }
      ${
        compared?.status === "running"
          ? html`<p class="reading"><span class="spinner"></span> ${t("compare.running")}</p>`
          : nothing
      }
      ${compared?.error ? messageView({ title: t("compare.failed"), severity: "warn", ...compared.error }) : nothing}
      ${compared?.result && other ? resultView(compared.result, entry.name, other.name) : nothing}
    </section>
  `;
}

/** @param {Compared} result @param {string} a @param {string} b */
function resultView({ sentence, comparison }, a, b) {
  const { layers, metadata } = comparison;
  const known = layers.filter(({ cosine }) => cosine !== null);
  return html`
    <p class="sentence" data-testid="relation">${sentenceView(sentence)}</p>
    <details>
      <summary>${t("compare.layers", { layers: t("n.layer", { n: layers.length }), known: known.length })}</summary>
      <div class="scroller tall" tabindex="0" role="region" aria-label=${t("compare.by_layer")}>
        <table data-testid="compared-layers">
          <thead>
            <tr>
              <th scope="col">${t("table.layer")}</th>
              <th scope="col" class="numeric"><abbr title=${t("compare.cosine_says")}>${t("compare.cosine")}</abbr></th>
              <th scope="col" class="numeric">${t("compare.here")}</th>
              <th scope="col" class="numeric">${t("compare.there")}</th>
              <th scope="col" class="numeric">${t("compare.ranks")}</th>
            </tr>
          </thead>
          <tbody>
            ${layers.slice(0, FIRST_ROWS).map(
              ({ tensor, a, b, identical, cosine }) =>
                html`<tr>
                  <th scope="row"><code>${tensor.replace(/\.weight$/, "")}</code></th>
                  <td class="numeric">
                    ${identical ? t("compare.identical") : cosine === null ? "–" : cosine.toFixed(3)}
                  </td>
                  <td class="numeric">${a ? formatNumber(a.norm) : "–"}</td>
                  <td class="numeric">${b ? formatNumber(b.norm) : "–"}</td>
                  <td class="numeric">${a?.rank ?? "–"} / ${b?.rank ?? "–"}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${
        layers.length > FIRST_ROWS
          ? html`<p class="fine">${t("compare.first_of", { n: FIRST_ROWS, all: layers.length })}</p>`
          : nothing
      }
    </details>
    ${metadata.length ? metadataView(metadata, a, b) : html`<p class="fine">${t("compare.same")}</p>`}
  `;
}

/** @param {Compared["comparison"]["metadata"]} metadata @param {string} a @param {string} b */
function metadataView(metadata, a, b) {
  return html`<details>
    <summary>${t("compare.metadata", { differences: t("n.difference", { n: metadata.length }) })}</summary>
    <div class="scroller tall" tabindex="0" role="region" aria-label=${t("compare.differences")}>
      <table class="wrap">
        <thead>
          <tr>
            <th scope="col">${t("meta.key")}</th>
            <th scope="col"><bdi>${a}</bdi></th>
            <th scope="col"><bdi>${b}</bdi></th>
          </tr>
        </thead>
        <tbody>
          ${metadata.map(
            ({ key, a, b }) =>
              html`<tr>
                <th scope="row"><code>${key}</code></th>
                <td>${short(a)}</td>
                <td>${short(b)}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
  </details>`;
}

/** @param {string | null} value */
function short(value) {
  if (value === null) return html`<span class="fine">${t("table.not_there")}</span>`;
  return value.length > 160 ? `${value.slice(0, 160)}…` : value;
}
