/**
 * Files of a drop or a folder -> adapters with their configs; a table of them -> its rows as they are sorted and
 * filtered, and as CSV and JSON.
 */

import { say } from "../words.js";

/** @typedef {import("../types.d.ts").FolderTable} FolderTable */
/** @typedef {import("../types.d.ts").FolderRow} FolderRow */

/** @typedef {{ file: File, path: string, config?: string }} Adapter */

const ADAPTER = /\.(safetensors|pth?|bin|ckpt|gguf)$/i;
const CONFIG = "adapter_config.json";

/**
 * The adapters of a folder, each with the file of its PEFT config where one lies beside it.
 * @param {import("../types.d.ts").Folder} folder
 */
export function adaptersOf({ name, files }) {
  const folderOf = (/** @type {string} */ path) => path.slice(0, path.lastIndexOf("/") + 1);
  const configs = new Map(
    files.filter(({ path }) => path.endsWith(CONFIG)).map(({ path, file }) => [folderOf(path), file]),
  );
  const adapters = files.filter(({ file }) => ADAPTER.test(file.name) || (file.name === CONFIG && files.length === 1));
  return adapters.map(({ path, file }) => ({ path: `${name}/${path}`, file, beside: configs.get(folderOf(path)) }));
}

/** @param {{ path: string, file: File, beside?: File }} adapter @returns {Promise<Adapter>} */
export async function withConfig({ path, file, beside }) {
  return { path, file, config: await beside?.text() };
}

/**
 * Files dropped side by side: an adapter_config.json among them is no file to look at but belongs to the others.
 * @param {File[]} files
 * @returns {Promise<Adapter[]>}
 */
export async function together(files) {
  const config = files.length > 1 ? await files.find(({ name }) => name === CONFIG)?.text() : undefined;
  const shown = config === undefined ? files : files.filter(({ name }) => name !== CONFIG);
  return shown.map((file) => ({ path: file.name, file, config }));
}

/** The rows on show. @param {FolderTable} table @returns {FolderRow[]} */
export function folderRows({ rows, sort, descending, filter }) {
  const needle = filter.trim().toLowerCase();
  const fits = rows.filter((row) => !needle || searched(row).includes(needle));
  const sign = descending ? -1 : 1;
  return fits.sort(
    (a, b) => compare(value(a, sort), value(b, sort), sign) || a.path.localeCompare(b.path, "en", { numeric: true }),
  );
}

/** @param {FolderRow} row @param {import("../types.d.ts").FolderSort} sort @returns {string | number | null} */
function value({ path, summary }, sort) {
  if (sort === "file") return path;
  if (!summary) return null;
  if (sort === "works_in") return summary.works_in.length;
  return summary[sort] || null;
}

/** What a search looks at. @param {FolderRow} row */
function searched({ path, summary }) {
  const told = summary
    ? [
        summary.label,
        summary.algorithms,
        summary.trigger_words,
        summary.title ?? "",
        summary.convention,
        say(summary.verdict),
      ]
    : [];
  return [path, ...told].join("\n").toLowerCase();
}

/**
 * Nothing comes last, whichever way round.
 * @param {string | number | null} a
 * @param {string | number | null} b
 * @param {number} sign
 */
function compare(a, b, sign) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return (
    sign *
    (typeof a === "number" && typeof b === "number"
      ? a - b
      : String(a).localeCompare(String(b), "en", { numeric: true }))
  );
}

/**
 * Ids of files that have a copy in the table: all that their headers say is equal.
 * @param {FolderRow[]} rows
 * @returns {Map<string, string[]>} id to the paths of its copies
 */
export function copies(rows) {
  const groups = Map.groupBy(
    rows.filter(({ summary }) => summary?.header_sha256),
    ({ summary }) => summary?.header_sha256,
  );
  const found = new Map();
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    for (const row of group)
      found.set(
        row.id,
        group.filter((other) => other !== row).map(({ path }) => path),
      );
  }
  return found;
}

/** @param {FolderTable} table */
export function folderJson({ rows }) {
  return JSON.stringify(
    rows.flatMap(({ path, summary }) => (summary ? [{ ...summary, file: path }] : [])),
    null,
    2,
  );
}

/** RFC 4180, with the names of the JSON's fields in the first row. @param {FolderTable} table */
export function folderCsv({ rows }) {
  const known = rows.flatMap(({ path, summary }) => (summary ? [{ ...summary, file: path }] : []));
  const names = /** @type {(keyof import("../engine/types.d.ts").Summary)[]} */ (Object.keys(known[0] ?? {}));
  return (
    [names, ...known.map((row) => names.map((name) => row[name]))]
      .map((cells) => cells.map(cell).join(","))
      .join("\r\n") + "\r\n"
  );
}

/** @param {unknown} value */
function cell(value) {
  const plain = Array.isArray(value) ? value.join(" ") : String(value ?? "");
  // A spreadsheet would run a text that begins so as a formula.
  const text = typeof value !== "number" && /^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
