/** The opened files: added, read, chosen, closed. Pure. */

import { EMPTY_ROW, checkedRow, withLora } from "../form.js";
import { canRun, entryById, rowName } from "../select.js";
import { FIRST_TABLE } from "../inspect/state.js";
import { say } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @param {State} state @param {Action} action @returns {State} */
export function reduceFiles(state, action) {
  switch (action.type) {
    case "files/added": {
      const files = [...state.files.filter(({ id }) => id !== action.entry.id), action.entry];
      return action.select ? select({ ...state, files }, action.entry.id) : { ...state, files };
    }
    case "files/header":
      return withEntry(state, action.id, { report: action.report });
    case "files/progress":
      return withRows(state, action);
    case "files/waiting":
      return withEntry(state, action.id, { status: "header" });
    case "files/continue":
      return withEntry(state, action.id, { status: "reading", error: null, done: 0, secondsLeft: null });
    case "files/read": {
      const { id, report, fixes } = action;
      const next = withEntry(state, id, { status: "read", report, fixes, error: null });
      return { ...withReadLora(next, id, report.file), announcement: `${report.file}: ${say(report.verdict)}` };
    }
    case "files/failed": {
      const { id, error } = action;
      // After a crash the header's report stays, and the numbers can be asked for again.
      const header = error.kind === "crashed" && entryById(state, id)?.report;
      const next = withEntry(
        state,
        id,
        header ? { status: "header", error } : { status: "failed", report: null, error },
      );
      return { ...next, announcement: say(error.sentence ?? error.message) };
    }
    case "files/select":
      return select(state, action.id);
    case "files/close":
      return withoutEntry(state, action.id);
    case "weigh/done": {
      const entry = entryById(state, action.id);
      if (!entry?.report) return state;
      const { measures, usual_strength } = action.weighing;
      const fixes = [
        ...entry.fixes.filter(({ id }) => id !== "usual_strength"),
        ...(usual_strength ? [usual_strength] : []),
      ];
      return withEntry(state, action.id, { report: { ...entry.report, ...measures }, fixes, beside: action.model });
    }
    default:
      return state;
  }
}

/** What belongs to one report starts afresh with another. @param {State} state @param {string} id @returns {State} */
function select(state, id) {
  const form = canRun(state, id) ? withLora(state.form, id) : state.form;
  return { ...state, selected: id, form, table: { ...FIRST_TABLE, open: state.table.open }, pointed: "", chosen: "" };
}

/**
 * A file of the last visit's stack takes its row again; another one on show becomes the LoRA of a stack of one.
 * @param {State} state
 * @param {string} id
 * @param {string} file its name
 * @returns {State}
 */
function withReadLora(state, id, file) {
  const row = state.session.rows.find(({ name }) => name === file);
  if (!row) {
    const takes = id === state.selected && !entryById(state, id)?.returns && canRun(state, id);
    return takes ? { ...state, form: withLora(state.form, id) } : state;
  }
  const { name, after = [], ...rest } = row;
  const session = { ...state.session, rows: state.session.rows.filter((each) => each !== row) };
  const others = state.form.loras.filter((each) => each.id && each.id !== id);
  const at = 1 + others.findLastIndex((each) => after.includes(rowName(state, each)));
  const loras = others.toSpliced(at, 0, checkedRow({ ...EMPTY_ROW, ...rest, id }));
  return { ...state, session, form: { ...state.form, loras } };
}

/** A closed file; the one opened before it comes on show. @param {State} state @param {string} id @returns {State} */
function withoutEntry(state, id) {
  const at = state.files.findIndex((entry) => entry.id === id);
  if (at < 0) return state;
  const files = state.files.toSpliced(at, 1);
  const kept = state.form.loras.filter((row) => row.id !== id || id.startsWith("demo:"));
  const next = { ...state, files, form: { ...state.form, loras: kept.length ? kept : [EMPTY_ROW] } };
  return id === state.selected ? select(next, (files[at - 1] ?? files[at])?.id ?? "") : next;
}

/**
 * @param {State} state @param {string} id @param {Partial<import("../types.d.ts").Entry>} change
 * @returns {State}
 */
function withEntry(state, id, change) {
  return { ...state, files: state.files.map((entry) => (entry.id === id ? { ...entry, ...change } : entry)) };
}

/**
 * Layers that were read take the place of what the header says of them.
 * @param {State} state
 * @param {Extract<Action, { type: "files/progress" }>} action
 * @returns {State}
 */
function withRows(state, { id, done, secondsLeft, rows }) {
  const report = state.files.find((entry) => entry.id === id)?.report;
  if (!report || !rows.length) return withEntry(state, id, { done, secondsLeft });
  const known = new Map(rows.map((row) => [row.path, row]));
  const modules = report.modules.map((row) => known.get(row.path) ?? row);
  return withEntry(state, id, { done, secondsLeft, report: { ...report, modules } });
}
