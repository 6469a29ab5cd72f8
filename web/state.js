/** State and action -> the next state: each feature's reducer hears every action. Pure: no clock, no chance. */

import { reduceApp } from "./app/state.js";
import { FIRST_BENCH, reduceBench } from "./bench/state.js";
import { reduceToasts } from "./core/toasts.js";
import { reduceDemo } from "./demo/state.js";
import { FIRST_DEVICE, reduceDevice } from "./device/state.js";
import { reduceFiles } from "./files/state.js";
import { FIRST_FORM } from "./form.js";
import { FIRST_IMAGES, reduceImages } from "./gallery/state.js";
import { FIRST_BASE, reduceBase } from "./generate/base-state.js";
import { FIRST_RUN, reduceRun } from "./generate/run-state.js";
import { reduceForm } from "./generate/state.js";
import { reduceGuide } from "./guide/state.js";
import { FIRST_LOOK, FIRST_TABLE, reduceLook, reduceReport } from "./inspect/state.js";
import { FIRST_LIBRARY, reduceLibrary } from "./library/state.js";
import { reducePreviews } from "./previews/state.js";
import { reduceSeries } from "./series/state.js";
import { reduceShare } from "./share/state.js";
import { NO_TEMPLATES, reduceTemplates } from "./templates/state.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Action} Action */

/** @type {State} */
export const initialState = {
  language: "en",
  app: { offline: false, update: false, stale: "", installable: false },
  jobs: [],
  look: FIRST_LOOK,
  series: null,
  previews: null,
  leftPreviews: null,
  files: [],
  selected: "",
  device: FIRST_DEVICE,
  demo: { catalogue: null, status: "none", received: 0, total: 0 },
  base: FIRST_BASE,
  start: null,
  mask: null,
  remark: null,
  tokens: null,
  completion: null,
  table: FIRST_TABLE,
  pointed: "",
  chosen: "",
  rawMetadata: false,
  form: FIRST_FORM,
  templates: NO_TEMPLATES,
  run: FIRST_RUN,
  result: null,
  compare: "side",
  ...FIRST_IMAGES,
  guide: null,
  bench: FIRST_BENCH,
  library: FIRST_LIBRARY,
  link: null,
  asked: null,
  session: { rows: [], waiting: [], lost: [], kept: false },
  smooth: true,
  notices: [],
  toasts: [],
  announcement: "",
};

/** One after another: what a report knows goes before the files, which may take its place. */
const REDUCERS = [
  reduceLook,
  reduceShare,
  reduceApp,
  reduceDemo,
  reduceDevice,
  reduceBase,
  reduceFiles,
  reduceReport,
  reduceSeries,
  reducePreviews,
  reduceForm,
  reduceTemplates,
  reduceRun,
  reduceLibrary,
  reduceImages,
  reduceGuide,
  reduceBench,
  reduceToasts,
];

/** @param {State} state @param {Action} action @returns {State} */
export function reduce(state, action) {
  // Of a run whose place another has taken.
  if ("job" in action && action.type !== "run/started" && action.job !== state.run.job) return state;
  return REDUCERS.reduce((next, each) => each(next, action), state);
}
