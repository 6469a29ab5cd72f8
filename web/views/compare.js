/** Two files side by side: what they are to each other, layer by layer, and where their metadata differ. */

import { html, nothing } from "lit-html";
import { formatNumber, plural } from "../format.js";
import { usable } from "../select.js";
import { messageView } from "./message.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */
/** @typedef {import("../engine/types.d.ts").ComparedFiles} Compared */

const FIRST_ROWS = 200;

/** @param {State} state @param {import("../types.d.ts").Entry} entry @param {Send} send */
export function compareView({ files, look: { compared } }, entry, send) {
  const others = files.filter((other) => other.id !== entry.id && usable(other));
  const other = files.find(({ id }) => id === compared?.id);
  return html`
    <section class="card compare" id="compare" aria-labelledby="compare-title" data-testid="compare" data-status=${compared?.status ?? "none"}>
      <h3 id="compare-title">Compare with another file</h3>
      ${others.length
        ? html`<label class="field narrow">
            <span>The other file</span>
            <select id="compare-with" @change=${(/** @type {Event} */ { target }) => send({ type: "compare/asked", id: /** @type {HTMLSelectElement} */ (target).value })}>
              <option value="" ?selected=${!compared}>Choose…</option>
              ${others.map(({ id, name }) => html`<option value=${id} ?selected=${id === compared?.id}>${name}</option>`)}
            </select>
          </label>`
        : html`<p class="fine">Drop a second LoRA on the page to compare it with this one: by their effect, whatever their names, ranks and algorithms.</p>`}
      ${compared?.status === "running" ? html`<p class="reading"><span class="spinner"></span> Comparing layer by layer…</p>` : nothing}
      ${compared?.error ? messageView({ title: "They cannot be compared", severity: "warn", ...compared.error }) : nothing}
      ${compared?.result && other ? resultView(compared.result, entry.name, other.name) : nothing}
    </section>
  `;
}

/** @param {Compared} result @param {string} a @param {string} b */
function resultView({ sentence, comparison }, a, b) {
  const { layers, metadata } = comparison;
  const known = layers.filter(({ cosine }) => cosine !== null);
  return html`
    <p class="sentence" data-testid="relation">${sentence}</p>
    <details>
      <summary>Layer by layer: ${plural(layers.length, "layer")}, ${known.length} in both</summary>
      <div class="scroller tall" tabindex="0" role="region" aria-label="Comparison by layer">
        <table data-testid="compared-layers">
          <thead>
            <tr>
              <th scope="col">Layer</th>
              <th scope="col" class="numeric"><abbr title="1: the same direction; 0: nothing in common; -1: opposite">Cosine</abbr></th>
              <th scope="col" class="numeric">Strength here</th>
              <th scope="col" class="numeric">Strength there</th>
              <th scope="col" class="numeric">Ranks</th>
            </tr>
          </thead>
          <tbody>
            ${layers.slice(0, FIRST_ROWS).map(
              ({ tensor, a, b, identical, cosine }) => html`<tr>
                <th scope="row"><code>${tensor.replace(/\.weight$/, "")}</code></th>
                <td class="numeric">${identical ? "identical" : cosine === null ? "–" : cosine.toFixed(3)}</td>
                <td class="numeric">${a ? formatNumber(a.norm) : "–"}</td>
                <td class="numeric">${b ? formatNumber(b.norm) : "–"}</td>
                <td class="numeric">${a?.rank ?? "–"} / ${b?.rank ?? "–"}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${layers.length > FIRST_ROWS ? html`<p class="fine">The first ${FIRST_ROWS} of ${layers.length}.</p>` : nothing}
    </details>
    ${metadata.length
      ? html`<details>
          <summary>Metadata: ${plural(metadata.length, "difference")}</summary>
          <div class="scroller tall" tabindex="0" role="region" aria-label="Differences of the metadata">
            <table class="wrap">
              <thead><tr><th scope="col">Key</th><th scope="col"><bdi>${a}</bdi></th><th scope="col"><bdi>${b}</bdi></th></tr></thead>
              <tbody>
                ${metadata.map(({ key, a, b }) => html`<tr><th scope="row"><code>${key}</code></th><td>${short(a)}</td><td>${short(b)}</td></tr>`)}
              </tbody>
            </table>
          </div>
        </details>`
      : html`<p class="fine">Their metadata are the same.</p>`}
  `;
}

/** @param {string | null} value */
function short(value) {
  if (value === null) return html`<span class="fine">not there</span>`;
  return value.length > 160 ? `${value.slice(0, 160)}…` : value;
}
