/** Charts of a training run: lines over its files, and blocks by files. The table beside them has the same numbers. */

import { html, nothing, svg } from "lit-html";
import { formatNumber } from "../../core/format.js";
import { t } from "../../words.js";

/** @typedef {{ name: string, values: (number | null)[] }} Line */

const WIDE = 640;
const TALL = 220;
/** Room for the axis' numbers, and below for the files' labels. */
const LEFT = 48;
const BOTTOM = 22;
const TOP = 8;
/** Labels below the chart at most. */
const MOST_LABELS = 12;
/** Shades of the map of blocks, as tokens.css names them. */
const SHADES = 6;

/**
 * @param {Line[]} lines
 * @param {string[]} labels of the files
 * @param {number[]} places of the files along the axis, growing
 */
export function linesView(lines, labels, places) {
  const most = Math.max(...lines.flatMap(({ values }) => values.map((value) => value ?? 0)), 0) || 1;
  const [start, end] = [places[0], places[places.length - 1]];
  const x = (/** @type {number} */ at) => LEFT + ((WIDE - LEFT - 8) * (places[at] - start)) / (end - start || 1);
  const y = (/** @type {number} */ value) => TOP + (TALL - TOP - BOTTOM) * (1 - value / most);
  return html`<figure class="series-chart">
    <svg viewBox="0 0 ${WIDE} ${TALL}" role="img" aria-label=${aboutLines(lines, labels)}>
      ${[0, 0.5, 1].map(
        (share) => svg`<line class="grid" x1=${LEFT} x2=${WIDE - 8} y1=${y(share * most)} y2=${y(share * most)} />
          <text class="side" x=${LEFT - 6} y=${y(share * most) + 4}>${formatNumber(share * most)}</text>`,
      )}
      ${apart(labels.map((_, at) => x(at))).map(
        (at) => svg`<text class="under" x=${x(at)} y=${TALL - 6}>${labels[at]}</text>`,
      )}
      ${lines.map((line, index) => lineView(line, index, labels, x, y))}
    </svg>
    ${
      lines.length > 1
        ? html`<figcaption class="legend">
            ${lines.map(
              ({ name }, index) =>
                html`<span class="scale"
                  ><svg class="key line-${index}" viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">
                    <polyline points="0,4 28,4" /></svg
                  >${name}</span
                >`,
            )}
          </figcaption>`
        : nothing
    }
  </figure>`;
}

/**
 * @param {Line} line
 * @param {number} index
 * @param {string[]} labels
 * @param {(at: number) => number} x
 * @param {(value: number) => number} y
 */
function lineView({ name, values }, index, labels, x, y) {
  const points = values.flatMap((value, at) => (value === null ? [] : [{ value, at }]));
  return svg`<g class="line-${index}">
    <polyline points=${points.map(({ value, at }) => `${x(at)},${y(value)}`).join(" ")} />
    ${points.map(
      ({ value, at }) => svg`<circle cx=${x(at)} cy=${y(value)} r=${labels.length > 24 ? 2 : 3.5}>
        <title>${name}, ${labels[at]}: ${formatNumber(value)}</title></circle>`,
    )}
  </g>`;
}

/** Indices of those that are far enough from the one before. @param {number[]} places */
function apart(places) {
  let last = -Infinity;
  return places.flatMap((place, at) => (place - last < WIDE / MOST_LABELS - 8 ? [] : ((last = place), [at])));
}

/** Indices of the files whose labels have room. @param {string[]} labels */
function labelled(labels) {
  const step = Math.ceil(labels.length / MOST_LABELS);
  return labels.flatMap((_, at) => (at % step === 0 ? [at] : []));
}

/** @param {Line[]} lines @param {string[]} labels */
function aboutLines(lines, labels) {
  const about = lines.map(({ name, values }) => {
    const known = values.filter((value) => value !== null);
    return t("series.about", { name, first: formatNumber(known[0] ?? 0), last: formatNumber(known.at(-1) ?? 0) });
  });
  return [t("series.about_files", { first: labels[0], last: labels[labels.length - 1] }), ...about].join(" ");
}

/**
 * A row per block and a column per file, the darker the larger.
 * @param {import("../../engine/types.d.ts").SeriesRow[]} rows
 * @param {string[]} labels
 */
export function blocksView(rows, labels) {
  if (!rows.length) return html`<p class="fine">${t("series.no_blocks")}</p>`;
  const [wide, tall] = [(WIDE - LEFT) / labels.length, 16];
  const most = Math.max(...rows.flatMap(({ norms }) => norms)) || 1;
  const height = rows.length * tall + BOTTOM;
  const shade = (/** @type {number} */ norm) => (norm > 0 ? Math.max(1, Math.ceil((SHADES * norm) / most)) : 0);
  const about = t("series.about_blocks", { n: rows.length, most: formatNumber(most) });
  return html`<figure class="series-chart">
    <svg viewBox="0 0 ${WIDE} ${height}" role="img" aria-label=${about}>
      ${rows.map(
        ({ name, norms }, row) => svg`<text class="side" x=${LEFT - 6} y=${row * tall + 12}>${name}</text>
          ${norms.map(
            (norm, at) => svg`<rect class="step-${shade(norm)}" x=${LEFT + at * wide} y=${row * tall}
              width=${Math.max(1, wide - 1)} height=${tall - 1}>
              <title>${name}, ${labels[at]}: ${formatNumber(norm)}</title></rect>`,
          )}`,
      )}
      ${labelled(labels).map(
        (at) => svg`<text class="under" x=${LEFT + (at + 0.5) * wide} y=${height - 6}>${labels[at]}</text>`,
      )}
    </svg>
  </figure>`;
}
