/** All work that runs or waits: what it is, how far, and the way to cancel it. */

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { t, word } from "../words.js";
import { cross } from "./icons.js";

/** @typedef {import("../core/jobs.js").JobState} JobState */

/** Jobs that are on show; the others are counted. */
const MOST = 3;

/** @param {JobState[]} jobs @param {import("../types.d.ts").Send} send */
export function activityView(jobs, send) {
  if (!jobs.length) return nothing;
  const busyFirst = jobs.toSorted((a, b) => Number(a.status === "waiting") - Number(b.status === "waiting"));
  return html`<aside class="activity" aria-label=${t("jobs.label")} data-testid="activity">
    <ul>
      ${repeat(
        busyFirst.slice(0, MOST),
        ({ id }) => id,
        (job) => jobView(job, send),
      )}
      ${jobs.length > MOST ? html`<li class="fine">${t("jobs.more", { n: jobs.length - MOST })}</li>` : nothing}
    </ul>
  </aside>`;
}

/** @param {JobState} job @param {import("../types.d.ts").Send} send */
function jobView({ id, kind, name, status, done }, send) {
  const what = [word("job", kind), name].filter(Boolean).join(": ");
  const waits = status === "waiting" || status === "pausing";
  return html`<li data-kind=${kind} data-status=${status}>
    <p id="job-${id}">
      <bdi>${what}</bdi>
      <span class="fine">${waits ? t("jobs.waiting") : status === "cancelling" ? t("jobs.cancelling") : nothing}</span>
    </p>
    <button
      class="quiet"
      type="button"
      aria-label=${t("jobs.cancel", { what })}
      aria-disabled=${status === "cancelling" ? "true" : "false"}
      @click=${() => send({ type: "job/cancel", id })}
    >
      ${cross}
    </button>
    ${waits || done === null ? nothing : html`<progress max="1" .value=${done} aria-labelledby="job-${id}"></progress>`}
  </li>`;
}
