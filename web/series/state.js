/** The training runs among the opened files, and the numbers of the one on show. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").SeriesState} SeriesState */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {Pick<SeriesState, "status" | "done" | "summary" | "error" | "losses">} */
const UNREAD = { status: "waiting", done: 0, summary: null, error: null, losses: [] };

/** @param {State} state @param {Action} action @returns {State} */
export function reduceSeries(state, action) {
  const { series } = state;
  if (action.type === "series/found") return { ...state, series: found(series, action.runs) };
  if (action.type === "folder/closed") return { ...state, series: null };
  return series ? { ...state, series: reduceRun(series, action) } : state;
}

/**
 * Runs that are found again keep their numbers.
 * @param {SeriesState | null} series
 * @param {import("../types.d.ts").TrainingRun[]} runs
 * @returns {SeriesState | null}
 */
function found(series, runs) {
  if (!runs.length) return null;
  const ids = series?.runs[series.chosen]?.ids.join();
  const chosen = runs.findIndex((run) => run.ids.join() === ids);
  if (series && chosen >= 0) return { ...series, runs, chosen };
  const longest = Math.max(...runs.map(({ ids }) => ids.length));
  return { ...UNREAD, runs, chosen: runs.findIndex(({ ids }) => ids.length === longest), chart: "norm" };
}

/** @param {SeriesState} series @param {Action} action @returns {SeriesState} */
function reduceRun(series, action) {
  switch (action.type) {
    case "series/chosen":
      return { ...series, ...UNREAD, chosen: action.at, chart: series.chart === "loss" ? "norm" : series.chart };
    case "series/start":
      return { ...series, ...UNREAD, losses: series.losses, status: "reading" };
    case "series/summarized":
      return { ...series, summary: action.summary, done: action.done };
    case "series/read":
      return { ...series, status: "read", done: 1 };
    case "series/stopped":
      return { ...series, status: "stopped" };
    case "series/failed":
      return { ...series, status: "failed", error: action.error };
    case "series/losses":
      return { ...series, losses: action.losses };
    case "series/chart":
      return { ...series, chart: action.chart };
    default:
      return series;
  }
}
