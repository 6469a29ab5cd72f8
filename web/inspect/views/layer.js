/** One layer: its singular values as a chart, and the numbers that people read from them. */

import { html, nothing, svg } from "lit-html";
import { formatFixed, formatNumber } from "../../core/format.js";
import { relative } from "../map.js";
import { t, word } from "../../words.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../engine/types.d.ts").LayerSpectrum} Spectrum */
/** @typedef {import("../../types.d.ts").Send} Send */

const WIDE = 480;
const TALL = 120;

/**
 * @param {import("../../engine/types.d.ts").ModuleRow} row
 * @param {Spectrum | null | undefined} spectrum undefined while it is not known
 * @param {boolean} read
 * @param {Send} send
 */
export function layerView(row, spectrum, read, send) {
  const { path, algorithm, rank, alpha, scale, shape, norm } = row;
  return html`
    <div class="layer" data-testid="layer" data-path=${path}>
      <p class="layer-name">
        <code>${path.split(".").map((part, i) => html`${i ? html`.<wbr />` : nothing}${part}`)}</code>
        <button
          class="quiet"
          type="button"
          aria-label=${t("layer.close")}
          @click=${() => send({ type: "layer/chosen", path })}
        >
          ${cross}
        </button>
      </p>
      <dl class="facts small">
        ${fact(t("fact.algorithm"), word("algorithm", algorithm))} ${fact(t("fact.shape"), shape.join(" × "))}
        ${rank === null ? nothing : fact(t("fact.rank"), formatNumber(rank))}
        ${alpha === null ? nothing : fact(t("fact.alpha"), formatNumber(alpha))}
        ${read ? fact(t("fact.scale"), formatNumber(scale)) : nothing}
        ${norm === null ? nothing : fact(t("table.strength"), formatNumber(norm), t("layer.norm"))}
        ${
          row.base_norm === null
            ? nothing
            : fact(
                t("table.share"),
                t("values.percent", { percent: formatNumber(100 * (relative(row) ?? 0)) }),
                t("layer.share"),
              )
        }
        ${spectrum ? numbers(spectrum) : nothing}
      </dl>
      ${spectrum ? chartView(spectrum) : waitingView(spectrum, read)}
    </div>
  `;
}

/** @param {null | undefined} spectrum @param {boolean} read */
function waitingView(spectrum, read) {
  if (spectrum === null) return html`<p class="fine">${t("layer.no_spectrum")}</p>`;
  return html`<p class="fine">${read ? t("layer.measuring") : t("layer.unread")}</p>`;
}

/** @param {Spectrum} spectrum */
function numbers({ spectral, stable_rank, effective_rank, values, energy }) {
  const enough = energy.findIndex((share) => share >= 0.98) + 1;
  return html`
    ${fact(t("layer.largest"), formatNumber(spectral), t("layer.largest_says"))}
    ${fact(t("layer.stable"), formatNumber(stable_rank), t("layer.stable_says"))}
    ${fact(t("layer.effective"), formatNumber(effective_rank), t("layer.effective_says"))}
    ${
      values.length > 1
        ? fact(t("layer.enough"), t("layer.of", { enough, all: values.length }), t("layer.enough_says"))
        : nothing
    }
  `;
}

/**
 * Singular values as bars from 0, and the share of the energy that each rank keeps as a line.
 * @param {Spectrum} spectrum
 */
function chartView({ values, energy }) {
  const most = values[0] || 1;
  const step = WIDE / Math.max(12, values.length); // few values make no wide bars
  const width = Math.max(0.5, step * 0.8);
  const line = energy.map((share, i) => `${(i + 0.5) * step},${TALL * (1 - share)}`).join(" ");
  const about = t("layer.about", {
    n: values.length,
    first: formatNumber(values[0]),
    last: formatNumber(values[values.length - 1]),
  });
  return html`
    <figure class="spectrum">
      <svg viewBox="0 0 ${WIDE} ${TALL}" preserveAspectRatio="none" role="img" aria-label=${about}>
        ${values.map((value, i) => {
          const tall = (TALL * value) / most;
          return svg`<rect x=${i * step + (step - width) / 2} y=${TALL - tall} width=${width} height=${tall}><title>${t(
            "layer.bar",
            { at: i + 1, value: formatNumber(value), percent: formatFixed(100 * energy[i], 1) },
          )}</title></rect>`;
        })}
        <polyline points=${line} vector-effect="non-scaling-stroke" />
      </svg>
      <figcaption class="fine">${t("layer.caption", { first: formatNumber(values[0]) })}</figcaption>
    </figure>
  `;
}

/** @param {string} name @param {unknown} value @param {string} [title] */
function fact(name, value, title) {
  return html`<div>
    <dt>${title ? html`<abbr title=${title}>${name}</abbr>` : name}</dt>
    <dd>${value}</dd>
  </div>`;
}
