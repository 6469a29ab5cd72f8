/** Modules and leftovers -> tables: sortable by header, filterable, a hundred rows at first. */

import { html, nothing, svg } from "lit-html";
import { formatNumber } from "../../core/format.js";
import { relative } from "../map.js";
import { some, tableRows } from "../../select.js";
import { t, word } from "../../words.js";
import { sentenceView } from "../../ui/text.js";

/** @typedef {import("../../engine/types.d.ts").ModuleRow} Module */
/** @typedef {import("../../types.d.ts").Table} Table */
/** @typedef {import("../../types.d.ts").Send} Send */
/**
 * @typedef {{ key: import("../../types.d.ts").SortKey, name: string, cell: (module: Module) => unknown, numeric?:
 * boolean }} Column
 */

const FIRST_ROWS = 100;

/** @type {import("../../types.d.ts").Section<import("../../engine/types.d.ts").Report>} */
export const modulesSection = {
  id: "modules",
  title: "modules.title",
  late: true,
  of: ({ report }) => (report.modules.length ? report : null),
  from: ({ report, state }) => [report.modules, state.table, state.chosen],
  view: (report, { state, send }) => modulesView(report, state.table, state.chosen, send),
};

/** @type {import("../../types.d.ts").Section<import("../../engine/types.d.ts").LeftoverRow[]>} */
export const leftoversSection = {
  id: "leftovers",
  late: true,
  of: ({ report }) => some(report.leftovers),
  from: ({ report }) => [report.leftovers],
  view: leftoversView,
};

/**
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {Table} table
 * @param {string} chosen
 * @param {Send} send
 */
function modulesView(report, table, chosen, send) {
  const rows = tableRows(report, table, chosen);
  const shown = table.all ? rows : rows.slice(0, FIRST_ROWS);
  const columns = columnsOf(report.modules);
  return html`
    <details
      class="card"
      id="modules"
      .open=${table.open}
      @toggle=${(/** @type {Event} */ { target }) =>
        send({ type: "table/changed", change: { open: /** @type {HTMLDetailsElement} */ (target).open } })}
    >
      <summary>
        <h3>${t("modules.title")}</h3>
        <span class="fine">${t("n.module", { n: report.modules.length })}</span>
      </summary>
      ${filterView(table, rows.length, report.modules.length, chosen, send)}
      <div class="scroller tall" tabindex="0" role="region" aria-label=${t("modules.table")}>
        <table data-testid="modules">
          <thead>
            <tr>
              ${columns.map((column) => headerView(column, table, send))}
            </tr>
          </thead>
          <tbody>
            ${shown.map((module) => rowView(module, columns, send))}
          </tbody>
        </table>
      </div>
      ${
        shown.length < rows.length
          ? html`<button
              class="button small"
              type="button"
              id="show-all"
              @click=${() => send({ type: "table/changed", change: { all: true } })}
            >
              ${t("modules.all", { n: rows.length })}
            </button>`
          : nothing
      }
    </details>
  `;
}

/** @param {Module} module @param {Column[]} columns @param {Send} send */
function rowView(module, columns, send) {
  return html`<tr>
    ${columns.map(({ key, numeric, cell }) =>
      key === "path"
        ? html`<th scope="row">
            <button
              type="button"
              class="path"
              title=${t("modules.numbers")}
              @click=${() => send({ type: "layer/chosen", path: module.path })}
            >
              <code>${cell(module)}</code>
            </button>
          </th>`
        : html`<td class=${numeric ? "numeric" : ""}>${cell(module)}</td>`,
    )}
  </tr>`;
}

/**
 * @param {Table} table
 * @param {number} rows
 * @param {number} all
 * @param {string} chosen
 * @param {Send} send
 */
function filterView(table, rows, all, chosen, send) {
  return html`<div class="filter">
    <label>
      <span class="visually-hidden">${t("modules.filter")}</span>
      <input
        type="search"
        id="module-filter"
        placeholder=${t("modules.example")}
        .value=${table.filter}
        @input=${(/** @type {Event} */ { target }) =>
          send({
            type: "table/changed",
            change: { filter: /** @type {HTMLInputElement} */ (target).value, all: false },
          })}
      />
    </label>
    ${
      chosen
        ? html`<button class="button small" type="button" @click=${() => send({ type: "block/chosen", block: chosen })}>
            ${t("modules.only", { block: chosen.split("/")[1] })}
          </button>`
        : nothing
    }
    <span class="fine" role="status">${t("table.of_rows", { rows, all })}</span>
  </div>`;
}

/**
 * Columns that tell nothing are left out: all empty, or the one algorithm and precision that the verdict names.
 * @param {Module[]} modules
 * @returns {Column[]}
 */
function columnsOf(modules) {
  const strongest = Math.max(...modules.map(({ norm }) => norm ?? 0));
  const number = (/** @type {number | null} */ value) => (value === null ? "" : formatNumber(value));
  /** @type {Column[]} */
  const columns = [
    { key: "path", name: t("table.module"), cell: ({ path }) => breakable(path) },
    { key: "block", name: t("table.block"), cell: ({ block }) => block },
    { key: "algorithm", name: t("fact.algorithm"), cell: ({ algorithm }) => word("algorithm", algorithm) },
    { key: "rank", name: t("fact.rank"), cell: ({ rank }) => number(rank), numeric: true },
    { key: "alpha", name: t("fact.alpha"), cell: ({ alpha }) => number(alpha), numeric: true },
    { key: "scale", name: t("fact.scale"), cell: ({ scale }) => number(scale), numeric: true },
    {
      key: "norm",
      name: t("table.strength"),
      cell: ({ norm }) => html`${number(norm)} ${barView(norm ?? 0, strongest)}`,
      numeric: true,
    },
    {
      key: "relative",
      name: t("table.share"),
      cell: (module) =>
        module.base_norm === null ? "" : t("values.percent", { percent: number(100 * (relative(module) ?? 0)) }),
      numeric: true,
    },
    { key: "dtype", name: t("fact.precision"), cell: ({ dtype }) => dtype },
    { key: "order", name: t("fact.shape"), cell: ({ shape }) => shape.join(" × ") },
  ];
  return columns.filter(({ key }) => {
    if (key === "order") return true;
    if (key === "relative") return modules.some(({ base_norm }) => base_norm !== null);
    const values = new Set(modules.map((module) => module[key]));
    if (key === "algorithm" || key === "dtype") return values.size > 1;
    return [...values].some((value) => value !== null && value !== "");
  });
}

/** A long name may break after each dot. @param {string} path */
function breakable(path) {
  return path.split(".").map((part, i) => html`${i ? html`.<wbr />` : nothing}${part}`);
}

/** @param {number} norm @param {number} strongest */
function barView(norm, strongest) {
  const width = strongest > 0 ? (40 * norm) / strongest : 0;
  return html`<svg class="bar" width="40" height="8" aria-hidden="true">
    ${svg`<rect width=${width} height="8" rx="2" />`}
  </svg>`;
}

/** @param {Column} column @param {Table} table @param {Send} send */
function headerView({ key, name, numeric }, { sort, descending }, send) {
  if (key === "order") return html`<th scope="col">${name}</th>`;
  const order = sort !== key ? nothing : descending ? "descending" : "ascending";
  return html`<th scope="col" class=${numeric ? "numeric" : ""} aria-sort=${order}>
    <button type="button" @click=${() => send({ type: "table/sorted", key })}>
      ${name}<span class="arrow" aria-hidden="true"></span>
    </button>
  </th>`;
}

/** @param {import("../../engine/types.d.ts").LeftoverRow[]} leftovers */
function leftoversView(leftovers) {
  return html`
    <details class="card" id="leftovers">
      <summary>
        <h3>${t("leftovers.title")}</h3>
        <span class="fine">${t("leftovers.says", { names: t("n.name", { n: leftovers.length }) })}</span>
      </summary>
      <div class="scroller tall" tabindex="0" role="region" aria-label=${t("leftovers.table")}>
        <table data-testid="leftovers">
          <thead>
            <tr>
              <th scope="col">${t("leftovers.name")}</th>
              <th scope="col">${t("leftovers.why")}</th>
            </tr>
          </thead>
          <tbody>
            ${leftovers.slice(0, 500).map(
              ({ key, reason }) =>
                html`<tr>
                  <th scope="row"><code>${key}</code></th>
                  <td>${sentenceView(reason)}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      ${leftovers.length > 500 ? html`<p class="fine">${t("table.first", { all: leftovers.length })}</p>` : nothing}
    </details>
  `;
}
