/**
 * The network in the order in which data flows: a column a block, a lane a kind of layer, a tile a layer; colour says
 * how strong.
 */

import { html, nothing, svg } from "lit-html";
import { formatNumber } from "../../core/format.js";
import { LIMITS, lanes, blockKeyOf, relative, step } from "../map.js";
import { canChange } from "../../select.js";
import { say, t, word } from "../../words.js";
import { layerView } from "./layer.js";
import { tuneView } from "./tune.js";

/** @typedef {import("../../engine/types.d.ts").Report} Report */
/** @typedef {import("../../engine/types.d.ts").Coverage} Block */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {{ pointed: string, chosen: string, layer: string }} Marks */

/** Height of a tile, of the words above the blocks, and the gap between lanes, in pixels. */
const TILE = 9;
const TOP = 18;
const GAP = 5;

/** @type {import("../../types.d.ts").Section<Report>} */
export const mapSection = {
  id: "map",
  title: "section.map",
  of: ({ report }) => (report.coverage.some(({ covered }) => covered > 0) ? report : null),
  view: (report, { state, send }) => {
    const { look, pointed, chosen } = state;
    const row = report.modules.find(({ path }) => path === look.layer);
    const layer = row ? layerView(row, look.spectra[row.path], !report.headers_only, send) : nothing;
    const tune = tuneView(state, report, canChange(report), send);
    return mapView(report, { pointed, chosen, layer: look.layer }, layer, tune, send);
  },
};

/**
 * @param {Report} report
 * @param {Marks} marks
 * @param {unknown} detail what is shown of the chosen layer
 * @param {unknown} tune the blocks' sliders
 * @param {Send} send
 */
function mapView(report, marks, detail, tune, send) {
  const { coverage, headers_only } = report;
  const parts = [...new Set(coverage.map(({ component }) => component))];
  const shown = parts.filter((part) => coverage.some(({ component, covered }) => component === part && covered > 0));
  const strips = shown.map((part) => lanes(report, part));
  const longest = Math.max(14, ...strips.map(({ width }) => width));
  return html`
    <section class="card coverage" id="map" aria-labelledby="coverage-title" data-testid="coverage">
      <h3 id="coverage-title">${t("map.title")}</h3>
      ${strips.map((strip) => stripView(strip, longest, marks, send))}
      <p class="detail" data-testid="block-detail">${said(report, marks)}</p>
      ${legendView(headers_only)} ${detail} ${tune} ${numbersView(coverage)}
    </section>
  `;
}

/** @param {import("../map.js").Strip} strip @param {number} longest @param {Marks} marks @param {Send} send */
function stripView({ component, columns, rows }, longest, marks, send) {
  const unit = 100 / longest;
  const tops = rows.map(
    (_, i) => TOP + rows.slice(0, i).reduce((sum, lane) => sum + lane.layers.length * TILE + GAP, 0),
  );
  const tall = tops[tops.length - 1] + rows[rows.length - 1].layers.length * TILE;
  const title = word("component", component);
  const active = columns.find(({ block }) => blockKeyOf(block) === (marks.pointed || marks.chosen));
  return html`
    <div class="strip">
      <p class="strip-title">${title}</p>
      <div class="network">
        <svg class="lane-names" width="112" height=${tall} aria-hidden="true">
          ${rows.map(
            ({ name, layers }, i) =>
              svg`<text y=${tops[i] + (layers.length * TILE) / 2 + 3}>${word("lane", name)}</text>`,
          )}
        </svg>
        <svg
          width="100%"
          height=${tall + 18}
          role="listbox"
          tabindex="0"
          aria-label=${t("map.list", { title })}
          aria-activedescendant=${active ? cellId(active.block) : nothing}
          @keydown=${(/** @type {KeyboardEvent} */ event) => onKey(event, columns, active?.block, send)}
          @mouseleave=${() => send({ type: "block/pointed", block: "" })}
          @blur=${() => send({ type: "block/pointed", block: "" })}
        >
          ${columns.map((column) => columnView(column, { unit, tops, tall, rows }, marks, send))}
        </svg>
      </div>
    </div>
  `;
}

/**
 * A block: its name, the room of its lanes, a tile for each layer.
 * @param {import("../map.js").Strip["columns"][number]} column
 * @param {{ unit: number, tops: number[], tall: number, rows: import("../map.js").Strip["rows"] }} places
 * @param {Marks} marks
 * @param {Send} send
 */
function columnView({ block, x, width, over, under, tiles }, { unit, tops, tall, rows }, marks, send) {
  const key = blockKeyOf(block);
  const wide = width - 0.14;
  const room = (/** @type {number} */ i, /** @type {{ layers: unknown[] }} */ { layers }) =>
    svg`<rect class="room" x="${x * unit}%" y=${tops[i]} width="${wide * unit}%"
      height=${layers.length * TILE - 1} rx="2" />`;
  const tile = (/** @type {typeof tiles[number]} */ { row, lane, line, across, of }) =>
    svg`<rect class="tile step-${step(row)}" data-path=${row.path} data-on=${row.path === marks.layer ? "" : nothing}
      x="${(x + (wide * across) / of) * unit}%" y=${tops[lane] + line * TILE}
      width="${(wide / of) * unit}%" height=${TILE - 1} />`;
  return svg`<g id=${cellId(block)} role="option" class="cell" aria-selected=${key === marks.chosen ? "true" : "false"}
    aria-label="${[over, under].filter(Boolean).join(" ")}, ${sentence(block)}"
    data-pointed=${key === marks.pointed ? "" : nothing}
    @mouseover=${(/** @type {MouseEvent} */ event) => send({ type: "block/pointed", block: pathOf(event) || key })}
    @click=${(/** @type {MouseEvent} */ event) => choose(pathOf(event), key, send)}>
    ${over ? svg`<text class="group" x="${x * unit}%" y="11">${over}</text>` : nothing}
    <rect class="hit" x="${x * unit}%" y=${TOP - 4} width="${width * unit}%" height=${tall - TOP + 22} />
    ${rows.map((row, i) => room(i, row))} ${tiles.map(tile)}
    <text class="under ${sort(under)}" x="${(x + wide / 2) * unit}%" y=${tall + 13}>${under}</text>
  </g>`;
}

/** What of a block's name gives way where there is little room. @param {string} under */
function sort(under) {
  if (!/^\d+$/.test(under)) return "word";
  return Number(under) % 2 ? "odd" : "";
}

/** The layer under the pointer, "" for none. @param {MouseEvent} event */
function pathOf({ target }) {
  return /** @type {SVGElement} */ (target).dataset.path ?? "";
}

/** @param {string} path @param {string} key @param {Send} send */
function choose(path, key, send) {
  if (path) send({ type: "layer/chosen", path });
  else send({ type: "block/chosen", block: key });
}

/** @param {Block} block */
const cellId = (block) => `block-${blockKeyOf(block).replace(/\W/g, "-")}`;

/** @param {Block} block */
function sentence({ label, block, covered, total, norm }) {
  const name = say(label) || block;
  if (!covered) return t("map.unchanged", { name, total });
  return norm
    ? t("map.changed_by", { name, covered, total, norm: formatNumber(norm) })
    : t("map.changed", { name, covered, total });
}

/** What is under the pointer: a layer by its path, or a block. @param {Report} report @param {Marks} marks */
function said({ coverage, modules }, { pointed, chosen }) {
  const layer = modules.find(({ path }) => path === pointed);
  if (layer) {
    const strength =
      layer.norm === null ? "" : ` — ${t("map.layer_changed", { percent: percent(relative(layer) ?? 0) })}`;
    return html`<code>${layer.path}</code>${strength}`;
  }
  const block = coverage.find((each) => blockKeyOf(each) === (pointed || chosen));
  if (!block) return t("map.hint");
  return html`<strong>${block.block}</strong>
    ${sentence(block)}${blockKeyOf(block) === chosen ? ` — ${t("map.listed")}` : ""}`;
}

/** Per cent. @param {number} share */
function percent(share) {
  return formatNumber(100 * share);
}

/**
 * @param {KeyboardEvent} event
 * @param {import("../map.js").Column[]} columns
 * @param {Block | undefined} active
 * @param {Send} send
 */
function onKey(event, columns, active, send) {
  const blocks = columns.map(({ block }) => block);
  const at = active ? blocks.indexOf(active) : -1;
  /** @type {Record<string, number>} */
  const targets = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: blocks.length - 1 };
  if (event.key in targets) {
    const block = blocks[Math.min(blocks.length - 1, Math.max(0, targets[event.key]))];
    send({ type: "block/pointed", block: blockKeyOf(block) });
  } else if (active && (event.key === "Enter" || event.key === " ")) {
    send({ type: "block/chosen", block: blockKeyOf(active) });
  } else return;
  event.preventDefault();
}

/** @param {boolean} headersOnly */
function legendView(headersOnly) {
  const steps = [
    ...LIMITS.map((limit) => t("map.under", { percent: percent(limit) })),
    t("map.and_more", { percent: percent(LIMITS[LIMITS.length - 1]) }),
  ];
  return html`
    <div class="legend">
      <span class="scale">
        <abbr title=${t("map.measure")}>${t("map.change")}</abbr>
        ${
          headersOnly
            ? html`<svg width="17" height="12" aria-hidden="true">
                  <rect class="step-0" width="17" height="12" rx="2" />
                </svg>
                ${t("map.not_measured")}`
            : steps.map(
                (name, i) =>
                  html`<span class="key"
                    ><svg width="17" height="12" aria-hidden="true">
                      <rect class="step-${i + 1}" width="17" height="12" rx="2" />
                    </svg>
                    ${name}</span
                  >`,
              )
        }
      </span>
      ${headersOnly ? nothing : html`<span>${t("map.same_colours")}</span>`}
    </div>
  `;
}

/** The same for those who do not see the map. @param {Block[]} coverage */
function numbersView(coverage) {
  return html`
    <details>
      <summary>${t("map.table")}</summary>
      <div class="scroller" tabindex="0" role="region" aria-label=${t("map.coverage")}>
        <table>
          <thead>
            <tr>
              <th scope="col">${t("table.part")}</th>
              <th scope="col">${t("table.block")}</th>
              <th scope="col">${t("table.modules")}</th>
              <th scope="col">${t("table.strength")}</th>
            </tr>
          </thead>
          <tbody>
            ${coverage.map(
              (block) =>
                html`<tr>
                  <td>${word("component", block.component)}</td>
                  <th scope="row">${say(block.label) || block.block}</th>
                  <td>${t("table.of", { covered: block.covered, total: block.total })}</td>
                  <td>${formatNumber(block.norm)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}
