/** The work place below the intro: opened files and their reports, Run, and what else a first visit does not show. */

import { html, nothing } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { entryById, showsRun } from "../../select.js";
import { benchView } from "../../bench/views/bench.js";
import { filesView } from "../../files/views/tabs.js";
import { folderView } from "../../files/views/folder.js";
import { guideView } from "../../guide/views/guide.js";
import { lookView } from "../../inspect/views/look.js";
import { runView } from "../../generate/views/run.js";
import { seriesView } from "../../series/views/series.js";
import { askView } from "../../share/views/link.js";
import { safely } from "../../ui/boundary.js";
import "../../ui/elements/before-after.js";
import "../../ui/elements/pixel-image.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function workView(state, send) {
  const { look, series, selected, asked } = state;
  const entry = entryById(state, selected);
  return html`
    ${safely(() => askView(asked, send))} ${safely(() => guideView(state, send))}
    ${safely(() => (look.folder ? folderView(state, look.folder, send) : nothing))}
    ${safely(() => (series ? seriesView(series, selected, send) : nothing))}
    ${
      entry
        ? guard(besidesRun(state), () => safely(() => html`${filesView(state, send)} ${lookView(state, entry, send)}`))
        : nothing
    }
    ${safely(() => (showsRun(state) ? runView(state, send) : nothing))} ${safely(() => benchView(state, send))}
  `;
}

/** All that a report can depend on: a run's news come often, and leave it as it is. @param {State} state */
function besidesRun({ jobs, toasts, run, bench, result, announcement, tokens, completion, history, grid, ...others }) {
  return Object.values(others);
}
