/** Measurements of the user's graphics card: state and action -> the next state, and the table as text. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../engine/types.d.ts").Row} Row */

/** @type {State["bench"]} */
export const FIRST_BENCH = { shown: false, status: "idle", all: 0, rows: [], adapter: "", error: null };

/** @param {State} state @param {Action} action @returns {State} */
export function reduceBench(state, action) {
  const bench = benchOf(state.bench, action);
  return bench === state.bench ? state : { ...state, bench };
}

/** @param {State["bench"]} bench @param {Action} action @returns {State["bench"]} */
function benchOf(bench, action) {
  switch (action.type) {
    case "bench/shown":
      return { ...bench, shown: true };
    case "bench/run":
      return bench.status === "running" ? bench : { ...bench, status: "running", rows: [], all: 0, error: null };
    case "bench/measured":
      return { ...bench, adapter: action.adapter, rows: [...bench.rows, ...action.rows], all: action.all };
    case "bench/ended":
      return { ...bench, status: "idle", error: action.error };
    default:
      return bench;
  }
}

/** A row's numbers, as they are shown: milliseconds, GFLOP/s (of a copy GB/s), percent of the roof. @param {Row} row */
export function figures({ ours_ms, gflops, share_of_roof }) {
  const digits = (/** @type {number} */ value) => (value < 10 ? 2 : value < 100 ? 1 : 0);
  const rounded = (/** @type {number | null} */ value) => (value === null ? "" : value.toFixed(digits(value)));
  const percent = share_of_roof === null ? "" : `${Math.round(100 * share_of_roof)} %`;
  return {
    median: rounded(ours_ms.median),
    min: rounded(ours_ms.min),
    max: rounded(ours_ms.max),
    gflops: rounded(gflops),
    percent,
  };
}

/** The table as text that can be sent to somebody, in English as measurements are. @param {State["bench"]} bench */
export function benchText({ adapter, rows }) {
  const lines = rows.map((row) => {
    const { median, min, max, gflops, percent } = figures(row);
    const time = row.group === "roof" ? "" : `${median} ms (${min} to ${max})`;
    const rate = gflops && `${gflops} ${row.name.startsWith("copy") ? "GB/s" : "GFLOP/s"}`;
    return [row.name, time, rate, percent && `${percent} of the roof`].filter(Boolean).join(", ");
  });
  return [`LoRA Loupe on ${adapter}`, ...lines, ""].join("\n");
}

/** Shares of the peak from which a kernel is good, and fair, in percent as the table rounds them. */
const GOOD = 50;
const FAIR = 25;

/**
 * What a kernel's share of the peak means; null for the peaks themselves. Norms read more than they compute, so their
 * share says nothing. @param {Row} row @returns {"good" | "fair" | "slow" | "memory" | null}
 */
export function verdict({ group, name, share_of_roof }) {
  if (group === "roof" || share_of_roof === null) return null;
  if (/^(\d+ x )?(group|layer) norm/.test(name)) return "memory";
  const percent = Math.round(100 * share_of_roof);
  return percent >= GOOD ? "good" : percent >= FAIR ? "fair" : "slow";
}

/**
 * The measurements as a file that can be contributed: the card and the rows, and nothing else.
 * @param {State["bench"]} bench
 */
export function benchFile({ adapter, rows }) {
  return `${JSON.stringify({ adapter, rows }, null, 1)}\n`;
}
