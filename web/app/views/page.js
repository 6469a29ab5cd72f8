/** The whole page: intro, the work place, the library. */

import { html } from "lit-html";
import { t } from "../../words.js";
import { activityView } from "../../ui/activity.js";
import { appView, sessionView, updateView } from "./app.js";
import { safely } from "../../ui/boundary.js";
import { introView } from "./intro.js";
import { messageView } from "../../ui/message.js";
import { leftPreviewsView } from "../../previews/views/left.js";
import { libraryView } from "../../library/views/library.js";
import { toastsView } from "../../ui/toasts.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/**
 * @typedef {{ files: File[], handles: (FileSystemFileHandle | null)[], folders: import("../../types.d.ts").Folder[],
 * place: string }} Dropped
 */

/**
 * @param {State} state
 * @param {Send} send
 * @param {unknown} work the work place's view, once something is there to work on
 */
export function pageView(state, send, work) {
  const drop = (/** @type {CustomEvent<Dropped>} */ { detail }) => send({ type: "files/dropped", ...detail });
  return html`
    <div class="visually-hidden" role="status" data-testid="announcement">${state.announcement}</div>
    <drop-zone @files=${drop}><p class="drop-overlay">${t("page.drop")}</p></drop-zone>
    ${safely(() => updateView(state, send))} ${safely(() => sessionView(state, send))}
    ${safely(() => leftPreviewsView(state, send))} ${safely(() => introView(state, send))}
    ${state.notices.map(({ id, title, message }) =>
      messageView({ title, message, severity: "warn", dismiss: () => send({ type: "notice/dismissed", id }) }),
    )}
    ${work} ${safely(() => libraryView(state, send))} ${safely(() => appView(state, send))}
    <div class="corner">${toastsView(state.toasts)} ${safely(() => activityView(state.jobs, send))}</div>
  `;
}
