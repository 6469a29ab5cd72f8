/** The whole page: intro, files, Look, Run. */

import { html, nothing } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { entryById, showsRun } from "../select.js";
import { t } from "../words.js";
import { activityView } from "./activity.js";
import { appView, updateView } from "./app.js";
import { benchView } from "./bench.js";
import { filesView } from "./files.js";
import { folderView } from "./folder.js";
import { guideView } from "./guide.js";
import { introView } from "./intro.js";
import { messageView } from "./message.js";
import { askView } from "./link.js";
import { lookView } from "./look.js";
import { runView } from "./run.js";
import { shelfView } from "./shelf.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function pageView(state, send) {
  const entry = entryById(state, state.selected);
  return html`
    <div class="visually-hidden" role="status" data-testid="announcement">${state.announcement}</div>
    <drop-zone
      @files=${(/** @type {CustomEvent<{ files: File[], handles: (FileSystemFileHandle | null)[], folders: import("../types.d.ts").Folder[], place: string }>} */ { detail }) =>
        send({ type: "files/dropped", ...detail })}
    >
      <p class="drop-overlay">${t("page.drop")}</p>
    </drop-zone>
    ${updateView(state, send)} ${introView(state, send)} ${askView(state.asked, send)} ${guideView(state, send)}
    ${state.notices.map(({ id, title, message }) =>
      messageView({ title, message, severity: "warn", dismiss: () => send({ type: "notice/dismissed", id }) }),
    )}
    ${state.look.folder ? folderView(state.look.folder, state.selected, send) : nothing}
    ${entry ? guard(besidesRun(state), () => html`${filesView(state, send)} ${lookView(state, entry, send)}`) : nothing} ${showsRun(state) ? runView(state, send) : nothing}
    ${shelfView(state, send)} ${benchView(state, send)} ${appView(state, send)}
    <div class="corner">${activityView(state.jobs, send)}</div>
  `;
}

/** All that a report can depend on: a run's news come often, and leave it as it is. @param {State} state */
function besidesRun({ jobs, run, bench, result, announcement, tokens, history, grid, ...others }) {
  return Object.values(others);
}
