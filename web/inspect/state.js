/** The Look act's part of the state and an action -> its next one. Pure. */

import { FIRST_CHANGE, changeReduce } from "../edit/state.js";

/** @typedef {import("../types.d.ts").Look} Look */
/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** What belongs to one report, before anything is asked of it. */
const FRESH = {
  log: null,
  layer: "",
  spectra: {},
  weighing: null,
  compared: null,
  triggers: null,
  change: FIRST_CHANGE,
  strengths: {},
  settled: false,
};

/** @type {import("../types.d.ts").Table} */
export const FIRST_TABLE = { open: false, sort: "order", descending: false, filter: "", all: false };

/** @type {Look} */
export const FIRST_LOOK = { ...FRESH, folder: null, address: { status: "idle", error: null } };

/** @param {State} state @param {Action} action @returns {State} */
export function reduceLook(state, action) {
  const look = lookOf(state, action);
  return look === state.look ? state : { ...state, look };
}

/**
 * What was found out about a file that is no longer on show is dropped.
 * @param {State} state
 * @param {Action} action
 * @returns {Look}
 */
function lookOf({ look, selected }, action) {
  if (
    "id" in action &&
    action.id !== selected &&
    /^(log|layer|weigh|compare|triggers)\//.test(action.type) &&
    action.type !== "compare/start"
  )
    return look;
  switch (action.type) {
    case "files/select":
      return { ...look, ...FRESH };
    case "files/close":
      return action.id === selected ? { ...look, ...FRESH } : look;
    case "files/added":
      return action.select ? { ...look, ...FRESH } : look;

    case "log/explained":
      return { ...look, log: { line: action.line, answer: action.answer } };
    case "layer/chosen":
      return { ...look, layer: action.path === look.layer ? "" : action.path };
    case "layer/measured":
      return { ...look, spectra: { ...look.spectra, [action.path]: action.spectrum } };

    case "weigh/start":
      return { ...look, weighing: { done: 0, error: null } };
    case "weigh/progress":
      return { ...look, weighing: { done: action.done, error: null } };
    case "weigh/failed":
      return { ...look, weighing: { done: 0, error: action.error } };
    case "weigh/done":
    case "weigh/stopped":
      return { ...look, weighing: null };

    case "look/settled":
      return look.settled ? look : { ...look, settled: true };

    case "blocks/edited":
      return { ...look, strengths: action.strengths };

    default:
      return reduceOthers(look, action);
  }
}

/**
 * Comparisons, addresses, folders, edits.
 * @param {Look} look
 * @param {Action} action
 * @returns {Look}
 */
function reduceOthers(look, action) {
  switch (action.type) {
    case "compare/start":
      return { ...look, compared: action.id ? { id: action.id, status: "running", result: null, error: null } : null };
    case "compare/done":
      if (look.compared?.id !== action.other) return look;
      return { ...look, compared: { ...look.compared, status: "done", result: action.result } };
    case "compare/failed":
      if (look.compared?.id !== action.other) return look;
      return { ...look, compared: { ...look.compared, status: "failed", error: action.error } };

    case "triggers/find":
      return { ...look, triggers: { status: "running", done: 0, found: null, error: null } };
    case "triggers/progress":
      return { ...look, triggers: { status: "running", done: action.done, found: null, error: null } };
    case "triggers/found":
      return { ...look, triggers: { status: "done", done: 1, found: action.found, error: null } };
    case "triggers/failed":
      return { ...look, triggers: { status: "failed", done: 0, found: null, error: action.error } };
    case "triggers/stopped":
      return { ...look, triggers: null };

    case "address/asking":
      return { ...look, address: { status: "asking", error: null } };
    case "address/answered":
      return { ...look, address: { status: "idle", error: action.error } };

    case "folder/listed":
      return { ...look, folder: { rows: action.rows, sort: "file", descending: false, filter: "" } };
    case "folder/summarized":
      return withFolder(look, ({ rows }) => {
        const known = new Map(action.rows.map((row) => [row.id, row]));
        return { rows: rows.map((row) => known.get(row.id) ?? row) };
      });
    case "folder/changed":
      return withFolder(look, () => action.change);
    case "folder/sorted":
      return withFolder(look, ({ sort, descending }) => {
        if (sort === action.key) return { descending: !descending };
        return { sort: action.key, descending: ["rank_high", "size", "works_in"].includes(action.key) };
      });
    case "folder/closed":
      return { ...look, folder: null };

    default: {
      const change = changeReduce(look.change, action);
      return change === look.change ? look : { ...look, change };
    }
  }
}

/**
 * @param {Look} look
 * @param {(folder: import("../types.d.ts").FolderTable) => Partial<import("../types.d.ts").FolderTable>} change
 * @returns {Look}
 */
function withFolder(look, change) {
  return look.folder ? { ...look, folder: { ...look.folder, ...change(look.folder) } } : look;
}

/** The report on show: its table, its map. @param {State} state @param {Action} action @returns {State} */
export function reduceReport(state, action) {
  switch (action.type) {
    case "table/changed":
      return { ...state, table: { ...state.table, ...action.change } };
    case "table/sorted":
      return { ...state, table: sorted(state.table, action.key) };
    case "block/pointed":
      return { ...state, pointed: action.block };
    case "block/chosen": {
      const chosen = action.block === state.chosen ? "" : action.block;
      const open = state.table.open || chosen !== "";
      return { ...state, chosen, table: { ...state.table, open, all: false } };
    }
    case "metadata/raw":
      return { ...state, rawMetadata: action.raw };
    default:
      return state;
  }
}

/**
 * The same header again turns the order round; numbers start with the largest.
 * @param {import("../types.d.ts").Table} table
 * @param {import("../types.d.ts").SortKey} key
 * @returns {import("../types.d.ts").Table}
 */
function sorted(table, key) {
  if (table.sort === key) return { ...table, descending: !table.descending };
  const descending = ["rank", "alpha", "scale", "norm", "relative"].includes(key);
  return { ...table, sort: key, descending };
}
