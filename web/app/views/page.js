/** The whole page: intro, files, Look, Run. */

import { html, nothing } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { entryById, showsRun } from "../../select.js";
import { t } from "../../words.js";
import { activityView } from "../../ui/activity.js";
import { appView, sessionView, updateView } from "./app.js";
import { benchView } from "../../bench/views/bench.js";
import { safely } from "../../ui/boundary.js";
import { filesView } from "../../files/views/tabs.js";
import { folderView } from "../../files/views/folder.js";
import { guideView } from "../../guide/views/guide.js";
import { introView } from "./intro.js";
import { messageView } from "../../ui/message.js";
import { askView } from "../../share/views/link.js";
import { lookView } from "../../inspect/views/look.js";
import { runView } from "../../generate/views/run.js";
import { shelfView } from "../../library/views/library.js";
import { toastsView } from "../../ui/toasts.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function pageView(state, send) {
  const entry = entryById(state, state.selected);
  return html`
    <div class="visually-hidden" role="status" data-testid="announcement">${state.announcement}</div>
    <drop-zone
      @files=${(/** @type {CustomEvent<{ files: File[], handles: (FileSystemFileHandle | null)[], folders: import("../../types.d.ts").Folder[], place: string }>} */ { detail }) =>
        send({ type: "files/dropped", ...detail })}
    >
      <p class="drop-overlay">${t("page.drop")}</p>
    </drop-zone>
    ${safely(() => updateView(state, send))} ${safely(() => sessionView(state, send))} ${safely(() => introView(state, send))} ${safely(() => askView(state.asked, send))} ${safely(() => guideView(state, send))}
    ${state.notices.map(({ id, title, message }) =>
      messageView({ title, message, severity: "warn", dismiss: () => send({ type: "notice/dismissed", id }) }),
    )}
    ${safely(() => (state.look.folder ? folderView(state.look.folder, state.selected, send) : nothing))}
    ${entry ? guard(besidesRun(state), () => safely(() => html`${filesView(state, send)} ${lookView(state, entry, send)}`)) : nothing}
    ${safely(() => (showsRun(state) ? runView(state, send) : nothing))} ${safely(() => shelfView(state, send))} ${safely(() => benchView(state, send))}
    ${safely(() => appView(state, send))}
    <div class="corner">${toastsView(state.toasts)} ${safely(() => activityView(state.jobs, send))}</div>
  `;
}

/** All that a report can depend on: a run's news come often, and leave it as it is. @param {State} state */
function besidesRun({ jobs, toasts, run, bench, result, announcement, tokens, completion, history, grid, ...others }) {
  return Object.values(others);
}
