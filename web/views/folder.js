/** Many files by their headers -> a table to sort and filter; a row opens its report. */

import { html, nothing } from "lit-html";
import { formatBytes, plural } from "../format.js";
import { copies, folderRows } from "../folder.js";
import { ALGORITHMS, KINDS, PROBLEMS, word } from "../words.js";
import { check, cross, download, stop, warning } from "./icons.js";

/** @typedef {import("../types.d.ts").FolderTable} FolderTable */
/** @typedef {import("../types.d.ts").FolderRow} FolderRow */
/** @typedef {import("../types.d.ts").Send} Send */
/** @typedef {NonNullable<FolderRow["summary"]>} Summary */
/** @typedef {{ key: import("../types.d.ts").FolderSort, name: string, cell: (summary: Summary) => unknown, numeric?: boolean }} Column */

/** Rows that are drawn: more would make every key press slow. */
const MOST_ROWS = 500;

/** @type {Column[]} */
const COLUMNS = [
  { key: "label", name: "Made for", cell: (summary) => (summary.kind === "adapter" ? summary.label : word(KINDS, summary.kind)) },
  { key: "algorithms", name: "Algorithm", cell: ({ algorithms }) => algorithms.split(", ").map((name) => word(ALGORITHMS, name)).join(", ") },
  { key: "rank_high", name: "Rank", cell: rank, numeric: true },
  { key: "size", name: "Size", cell: ({ size }) => formatBytes(size), numeric: true },
  { key: "trigger_words", name: "Trigger words", cell: ({ trigger_words }) => trigger_words },
  { key: "works_in", name: "Works in", cell: ({ kind, works_in }) => (kind === "adapter" ? plural(works_in.length, "program") : ""), numeric: true },
];

/** @param {FolderTable} table @param {string} selected @param {Send} send */
export function folderView(table, selected, send) {
  const { rows, filter } = table;
  const shown = folderRows(table);
  const done = rows.filter(({ summary, error }) => summary || error).length;
  const twins = copies(rows);
  return html`
    <section class="card folder" aria-labelledby="folder-title" data-testid="folder" data-done=${done === rows.length ? "yes" : "no"}>
      <header class="folder-head">
        <h2 id="folder-title">${plural(rows.length, "file")}</h2>
        <p class="fine">${done < rows.length ? `${done} read so far…` : headline(rows, twins.size)}</p>
        <button class="quiet" type="button" aria-label="Close the table" @click=${() => send({ type: "folder/closed" })}>${cross}</button>
      </header>
      <div class="filter">
        <label>
          <span class="visually-hidden">Filter files</span>
          <input
            type="search" id="folder-filter" placeholder="Filter, e.g. SDXL" .value=${filter}
            @input=${(/** @type {Event} */ { target }) => send({ type: "folder/changed", change: { filter: /** @type {HTMLInputElement} */ (target).value } })}
          />
        </label>
        <span class="fine" role="status">${shown.length} of ${rows.length}</span>
        <button class="button small" type="button" id="folder-csv" @click=${() => send({ type: "folder/saved", as: "csv" })}>${download} CSV</button>
        <button class="button small" type="button" id="folder-json" @click=${() => send({ type: "folder/saved", as: "json" })}>${download} JSON</button>
      </div>
      <div class="scroller tall" tabindex="0" role="region" aria-label="Table of files">
        <table>
          <thead>
            <tr>
              ${headerView("file", "File", false, table, send)} ${headerView("problem", "Problem", false, table, send)}
              ${COLUMNS.map(({ key, name, numeric }) => headerView(key, name, !!numeric, table, send))}
            </tr>
          </thead>
          <tbody>
            ${shown.slice(0, MOST_ROWS).map((row) => rowView(row, row.id === selected, twins.get(row.id), send))}
          </tbody>
        </table>
      </div>
      ${shown.length > MOST_ROWS ? html`<p class="fine">The first ${MOST_ROWS} of ${shown.length}: filter to see others. The downloads hold all.</p>` : nothing}
    </section>
  `;
}

/** @param {FolderRow[]} rows @param {number} twins */
function headline(rows, twins) {
  const adapters = rows.filter(({ summary }) => summary?.kind === "adapter").length;
  const bytes = rows.reduce((sum, { summary }) => sum + (summary?.size ?? 0), 0);
  return [plural(adapters, "adapter"), formatBytes(bytes), twins ? `${plural(twins, "file")} with a copy` : ""].filter(Boolean).join(", ");
}

/** @param {FolderRow} row @param {boolean} current @param {string[] | undefined} twins @param {Send} send */
function rowView({ id, path, summary, error }, current, twins, send) {
  return html`<tr aria-current=${current ? "true" : "false"} @click=${() => send({ type: "folder/opened", id })}>
    <th scope="row">
      <button class="link" type="button" @click=${(/** @type {Event} */ event) => (event.stopPropagation(), send({ type: "folder/opened", id }))}><bdi>${path}</bdi></button>
      ${twins ? html`<span class="badge warn" title="Its header says the same as that of ${twins.join(", ")}">copy</span>` : nothing}
    </th>
    ${summary
      ? html`<td>${problem(summary)}</td>
          ${COLUMNS.map(({ cell, numeric }) => html`<td class=${numeric ? "numeric" : ""}>${cell(summary)}</td>`)}`
      : html`<td colspan=${COLUMNS.length + 1} class="fine">${error ? error.message : "…"}</td>`}
  </tr>`;
}

/** @param {Summary} summary */
function rank({ rank_low, rank_high }) {
  return rank_low === null ? "" : rank_low === rank_high ? rank_low : `${rank_low}–${rank_high}`;
}

/** @param {Summary} summary */
function problem({ problem, kind, works_in }) {
  if (!problem) return html`<span class="good" title="No problems found">${check}</span>`;
  const bad = kind !== "adapter" || !works_in.length;
  return html`<span class=${bad ? "refuse" : "warn"}>${bad ? stop : warning} ${word(PROBLEMS, problem)}</span>`;
}

/** @param {import("../types.d.ts").FolderSort} key @param {string} name @param {boolean} numeric @param {FolderTable} table @param {Send} send */
function headerView(key, name, numeric, { sort, descending }, send) {
  const order = sort !== key ? nothing : descending ? "descending" : "ascending";
  return html`<th scope="col" class=${numeric ? "numeric" : ""} aria-sort=${order}>
    <button type="button" @click=${() => send({ type: "folder/sorted", key })}>${name}<span class="arrow" aria-hidden="true"></span></button>
  </th>`;
}
