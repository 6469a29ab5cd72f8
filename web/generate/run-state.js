/** A run: started, on its way, ended. Pure. */

import { say, t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {State["run"]} */
export const FIRST_RUN = {
  job: 0,
  status: "idle",
  image: 1,
  images: 1,
  live: false,
  grid: false,
  progress: null,
  error: null,
};

/** @param {State} state @param {Action} action @returns {State} */
export function reduceRun(state, action) {
  switch (action.type) {
    case "run/started": {
      const { job, images, live = false, grid = false } = action;
      const run = { ...state.run, job, image: 1, images, live, grid, progress: null, error: null };
      const remark = state.remark?.severity === "good" && !live ? null : state.remark;
      return {
        ...state,
        remark,
        run: { ...run, status: "running" },
        announcement: live ? state.announcement : grid ? t("said.making_many", { images }) : t("said.making"),
      };
    }
    case "run/image":
      return { ...state, run: { ...state.run, image: action.image, progress: null } };
    case "run/progress":
      return { ...state, run: { ...state.run, progress: action.progress } };
    case "run/result":
      return { ...state, result: action.result };
    case "run/done":
      return ended(state, t("said.ready"));
    case "run/cancel":
      if (state.run.status !== "running") return state;
      return { ...state, run: { ...state.run, status: "cancelling" }, announcement: t("said.cancelling") };
    case "run/cancelled":
      return ended(state, t("said.cancelled"));
    case "run/failed": {
      const run = { ...state.run, error: action.error };
      const announcement = say(action.error.sentence ?? action.error.message);
      return { ...state, run: { ...run, status: "idle" }, announcement };
    }
    case "result/compared":
      return { ...state, compare: action.compare };
    case "result/smoothed":
      return { ...state, smooth: action.smooth };
    default:
      return state;
  }
}

/**
 * Images of a moved strength come too often to be read out.
 * @param {State} state
 * @param {string} announcement
 * @returns {State}
 */
function ended(state, announcement) {
  const { run } = state;
  return { ...state, run: { ...run, status: "idle" }, announcement: run.live ? state.announcement : announcement };
}
