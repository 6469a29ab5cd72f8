/** A file's metadata strings -> readable fields and pretty JSON. Pure. */

import { METADATA } from "./words.js";

/** @typedef {import("./engine/types.d.ts").Report["metadata"]} Metadata */
/** @typedef {{ key: string, label: string, value: string, code: boolean }} Field `code`: set in a fixed-width face, with its line breaks */

const TIMES = ["ss_training_started_at", "ss_training_finished_at"];
const NOTHING = ["", "None", "null", "{}", "[]"];

/**
 * Known fields first and named, then the rest under their own keys; empty values are left out.
 * @param {Metadata} metadata
 * @returns {{ known: Field[], others: Field[] }}
 */
export function readable(metadata) {
  const known = Object.keys(METADATA).filter((key) => key in metadata);
  const others = Object.keys(metadata).filter((key) => !(key in METADATA));
  const told = (/** @type {string} */ key) => !NOTHING.includes((metadata[key] ?? "").trim());
  const field = (/** @type {string} */ key) => ({ key, label: METADATA[key] ?? key, ...shown(key, metadata[key] ?? "") });
  return { known: known.filter(told).map(field), others: others.filter(told).sort().map(field) };
}

/** @param {string} key @param {string} value */
function shown(key, value) {
  if (TIMES.includes(key) && Number(value) > 0) {
    const time = new Date(Number(value) * 1000);
    if (!Number.isNaN(time.getTime())) return { value: time.toISOString().slice(0, 16).replace("T", " ") + " UTC", code: false };
  }
  return prettyJson(value) ?? { value, code: false };
}

/** An object or a list, indented; null for any other text. @param {string} value */
function prettyJson(value) {
  if (!/^\s*[{[]/.test(value)) return null;
  try {
    return { value: JSON.stringify(JSON.parse(value), null, 2), code: true };
  } catch {
    return null;
  }
}
