/** One layer: its singular values as a chart, and the numbers that people read from them. */

import { html, nothing, svg } from "lit-html";
import { formatNumber } from "../format.js";
import { ALGORITHMS, word } from "../words.js";
import { cross } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").LayerSpectrum} Spectrum */
/** @typedef {import("../types.d.ts").Send} Send */

const WIDE = 480;
const TALL = 120;

/** @param {import("../engine/types.d.ts").ModuleRow} row @param {Spectrum | null | undefined} spectrum undefined while it is not known @param {boolean} read @param {Send} send */
export function layerView(row, spectrum, read, send) {
  const { path, algorithm, rank, alpha, scale, shape, norm } = row;
  return html`
    <div class="layer" data-testid="layer" data-path=${path}>
      <p class="layer-name">
        <code>${path.split(".").map((part, i) => html`${i ? html`.<wbr />` : nothing}${part}`)}</code>
        <button class="quiet" type="button" aria-label="Close this layer" @click=${() => send({ type: "layer/chosen", path })}>${cross}</button>
      </p>
      <dl class="facts small">
        ${fact("Algorithm", word(ALGORITHMS, algorithm))} ${fact("Shape", shape.join(" × "))}
        ${rank === null ? nothing : fact("Rank", formatNumber(rank))} ${alpha === null ? nothing : fact("Alpha", formatNumber(alpha))}
        ${read ? fact("Scale", formatNumber(scale)) : nothing} ${norm === null ? nothing : fact("Strength", formatNumber(norm), "Frobenius norm of the change at strength 1")}
        ${spectrum ? numbers(spectrum) : nothing}
      </dl>
      ${spectrum ? chartView(spectrum) : waitingView(spectrum, read)}
    </div>
  `;
}

/** @param {null | undefined} spectrum @param {boolean} read */
function waitingView(spectrum, read) {
  if (spectrum === null) return html`<p class="fine">Its change depends on the base model's weights, or is no matrix: it has no singular values of its own.</p>`;
  return html`<p class="fine">${read ? "Measuring…" : "Its numbers are not read yet."}</p>`;
}

/** @param {Spectrum} spectrum */
function numbers({ spectral, stable_rank, effective_rank, values, energy }) {
  const enough = energy.findIndex((share) => share >= 0.98) + 1;
  return html`
    ${fact("Largest", formatNumber(spectral), "Spectral norm: the largest singular value")}
    ${fact("Stable rank", formatNumber(stable_rank), "How many directions as strong as the strongest one there are: ‖·‖²_F / σ₁²")}
    ${fact("Effective rank", formatNumber(effective_rank), "exp of the entropy of the singular values")}
    ${values.length > 1 ? fact("98 % in rank", `${enough} of ${values.length}`, "The smallest rank that keeps 98 % of the energy") : nothing}
  `;
}

/** Singular values as bars from 0, and the share of the energy that each rank keeps as a line. @param {Spectrum} spectrum */
function chartView({ values, energy }) {
  const most = values[0] || 1;
  const step = WIDE / Math.max(12, values.length); // few values make no wide bars
  const width = Math.max(0.5, step * 0.8);
  const line = energy.map((share, i) => `${(i + 0.5) * step},${TALL * (1 - share)}`).join(" ");
  const about = `${values.length} singular values from ${formatNumber(values[0])} down to ${formatNumber(values[values.length - 1])}`;
  return html`
    <figure class="spectrum">
      <svg viewBox="0 0 ${WIDE} ${TALL}" preserveAspectRatio="none" role="img" aria-label=${about}>
        ${values.map((value, i) => {
          const tall = (TALL * value) / most;
          return svg`<rect x=${i * step + (step - width) / 2} y=${TALL - tall} width=${width} height=${tall}><title>σ${i + 1} = ${formatNumber(value)}; rank ${i + 1} keeps ${(100 * energy[i]).toFixed(1)} %</title></rect>`;
        })}
        <polyline points=${line} vector-effect="non-scaling-stroke" />
      </svg>
      <figcaption class="fine">Bars: singular values, the largest ${formatNumber(values[0])}. Line: share of the energy kept by each rank, 0 to 100 %.</figcaption>
    </figure>
  `;
}

/** @param {string} name @param {unknown} value @param {string} [title] */
function fact(name, value, title) {
  return html`<div><dt>${title ? html`<abbr title=${title}>${name}</abbr>` : name}</dt><dd>${value}</dd></div>`;
}
