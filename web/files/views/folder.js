/** Many files by their headers -> a table to sort and filter; a row opens its report. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../../core/format.js";
import { copies, folderRows } from "../folder.js";
import { familyName, say, t, word } from "../../words.js";
import { previewCell, previewsButton, previewsView } from "../../previews/views/previews.js";
import { check, cross, download, stop, warning } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").FolderTable} FolderTable */
/** @typedef {import("../../types.d.ts").FolderRow} FolderRow */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {NonNullable<FolderRow["summary"]>} Summary */
/**
 * @typedef {{ key: import("../../types.d.ts").FolderSort, name: string, cell: (summary: Summary) => unknown, numeric?:
 * boolean }} Column
 */

/** Rows that are drawn: more would make every key press slow. */
const MOST_ROWS = 500;

/** @returns {Column[]} */
const columns = () => [
  {
    key: "label",
    name: t("fact.made_for"),
    cell: (summary) => (summary.kind === "adapter" ? familyName(summary) : word("kind", summary.kind)),
  },
  {
    key: "algorithms",
    name: t("fact.algorithm"),
    cell: ({ algorithms }) =>
      algorithms
        .split(", ")
        .map((name) => word("algorithm", name))
        .join(", "),
  },
  { key: "rank_high", name: t("fact.rank"), cell: rank, numeric: true },
  { key: "size", name: t("fact.size"), cell: ({ size }) => formatBytes(size), numeric: true },
  { key: "trigger_words", name: t("training.triggers"), cell: ({ trigger_words }) => trigger_words },
  {
    key: "works_in",
    name: t("folder.works"),
    cell: ({ kind, works_in }) => (kind === "adapter" ? t("n.program", { n: works_in.length }) : ""),
    numeric: true,
  },
];

/** @param {import("../../types.d.ts").State} state @param {FolderTable} table @param {Send} send */
export function folderView(state, table, send) {
  const { rows, filter } = table;
  const { selected, previews } = state;
  const shown = folderRows(table);
  const done = rows.filter(({ summary, error }) => summary || error).length;
  const twins = copies(rows);
  return html`
    <section
      class="card folder"
      aria-labelledby="folder-title"
      data-testid="folder"
      data-done=${done === rows.length ? "yes" : "no"}
    >
      <header class="folder-head">
        <h2 id="folder-title">${t("n.file", { n: rows.length })}</h2>
        <p class="fine">${done < rows.length ? t("folder.done", { done }) : headline(rows, twins.size)}</p>
        ${done < rows.length ? nothing : previewsButton(state, send)}
        <button
          class="quiet"
          type="button"
          aria-label=${t("folder.close")}
          @click=${() => send({ type: "folder/closed" })}
        >
          ${cross}
        </button>
      </header>
      ${previewsView(state, send)} ${filterView(filter, shown.length, rows.length, send)}
      <div class="scroller tall" tabindex="0" role="region" aria-label=${t("folder.table")}>
        <table>
          <thead>
            <tr>
              ${previews ? html`<th scope="col">${t("previews.column")}</th>` : nothing}
              ${headerView("file", t("table.file"), false, table, send)}
              ${headerView("problem", t("table.problem"), false, table, send)}
              ${columns().map(({ key, name, numeric }) => headerView(key, name, !!numeric, table, send))}
            </tr>
          </thead>
          <tbody>
            ${shown
              .slice(0, MOST_ROWS)
              .map((row) => rowView(row, row.id === selected, twins.get(row.id), previewOf(previews, row), send))}
          </tbody>
        </table>
      </div>
      ${
        shown.length > MOST_ROWS
          ? html`<p class="fine">${t("folder.most", { n: MOST_ROWS, all: shown.length })}</p>`
          : nothing
      }
    </section>
  `;
}

/** @param {string} filter @param {number} shown @param {number} all @param {Send} send */
function filterView(filter, shown, all, send) {
  return html`<div class="filter">
    <label>
      <span class="visually-hidden">${t("folder.filter")}</span>
      <input
        type="search"
        id="folder-filter"
        placeholder=${t("folder.example")}
        .value=${filter}
        @input=${(/** @type {Event} */ { target }) =>
          send({ type: "folder/changed", change: { filter: /** @type {HTMLInputElement} */ (target).value } })}
      />
    </label>
    <span class="fine" role="status">${t("table.of_rows", { rows: shown, all })}</span>
    <button class="button small" type="button" id="folder-csv" @click=${() => send({ type: "folder/save", as: "csv" })}>
      ${download} CSV
    </button>
    <button
      class="button small"
      type="button"
      id="folder-json"
      @click=${() => send({ type: "folder/save", as: "json" })}
    >
      ${download} JSON
    </button>
  </div>`;
}

/** @param {FolderRow[]} rows @param {number} twins */
function headline(rows, twins) {
  const adapters = rows.filter(({ summary }) => summary?.kind === "adapter").length;
  const bytes = rows.reduce((sum, { summary }) => sum + (summary?.size ?? 0), 0);
  return [
    t("n.adapter", { n: adapters }),
    formatBytes(bytes),
    twins ? t("folder.twins", { files: t("n.file", { n: twins }) }) : "",
  ]
    .filter(Boolean)
    .join(", ");
}

/**
 * The cell of a row's preview, while there are some.
 * @param {import("../../types.d.ts").State["previews"]} previews @param {FolderRow} row
 */
function previewOf(previews, { id, path }) {
  return previews ? html`<td class="preview">${previewCell(previews.made[id], path)}</td>` : nothing;
}

/**
 * @param {FolderRow} row
 * @param {boolean} current
 * @param {string[] | undefined} twins
 * @param {unknown} preview
 * @param {Send} send
 */
function rowView({ id, path, summary, error }, current, twins, preview, send) {
  return html`<tr aria-current=${current ? "true" : "false"} @click=${() => send({ type: "folder/open", id })}>
    ${preview}
    <th scope="row">
      <button
        class="link"
        type="button"
        @click=${(/** @type {Event} */ event) => (event.stopPropagation(), send({ type: "folder/open", id }))}
      >
        <bdi>${path}</bdi>
      </button>
      ${
        twins
          ? html`<span class="badge warn" title=${t("folder.same", { twins: twins.join(", ") })}
              >${t("folder.copy")}</span
            >`
          : nothing
      }
    </th>
    ${
      summary
        ? html`<td>${problem(summary)}</td>
            ${columns().map(
              ({ cell, numeric }) =>
                html`<td class=${numeric ? "numeric" : ""} title=${numeric ? nothing : cell(summary)}>
                  ${cell(summary)}
                </td>`,
            )}`
        : html`<td colspan=${columns().length + 1} class="fine">
            ${error ? say(error.sentence ?? error.message) : "…"}
          </td>`
    }
  </tr>`;
}

/** @param {Summary} summary */
function rank({ rank_low, rank_high }) {
  return rank_low === null ? "" : rank_low === rank_high ? rank_low : `${rank_low}–${rank_high}`;
}

/** @param {Summary} summary */
function problem({ problem, kind, works_in }) {
  if (!problem) return html`<span class="good" title=${t("verdict.clean")}>${check}</span>`;
  const bad = kind !== "adapter" || !works_in.length;
  return html`<span class=${bad ? "refuse" : "warn"}>${bad ? stop : warning} ${word("problem", problem)}</span>`;
}

/**
 * @param {import("../../types.d.ts").FolderSort} key
 * @param {string} name
 * @param {boolean} numeric
 * @param {FolderTable} table
 * @param {Send} send
 */
function headerView(key, name, numeric, { sort, descending }, send) {
  const order = sort !== key ? nothing : descending ? "descending" : "ascending";
  return html`<th scope="col" class=${numeric ? "numeric" : ""} aria-sort=${order}>
    <button type="button" @click=${() => send({ type: "folder/sorted", key })}>
      ${name}<span class="arrow" aria-hidden="true"></span>
    </button>
  </th>`;
}
