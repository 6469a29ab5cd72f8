/** The page as an app: whether it opens without a connection, the offer to install it, and a newer version. */

import { html, nothing } from "lit-html";
import { t } from "../../words.js";
import { messageView } from "../../ui/message.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function appView({ app, session }, send) {
  if (!app.offline && !app.installable && !session.kept) return nothing;
  return html`
    <aside class="app" aria-label=${t("app.label")} data-testid="app">
      ${app.offline ? html`<p class="fine">${t("app.offline")}</p>` : nothing}
      ${
        app.installable
          ? html`<button class="button small" type="button" id="install" @click=${() => send({ type: "app/install" })}>
              ${t("app.install")}
            </button>`
          : nothing
      }
      ${
        session.kept
          ? html`<p class="fine">
              ${t("session.kept")}
              <button
                class="button small"
                type="button"
                id="forget-session"
                @click=${() => send({ type: "session/forget" })}
              >
                ${t("session.forget")}
              </button>
            </p>`
          : nothing
      }
    </aside>
  `;
}

/**
 * A newer version waits until the user wants it, and until no task is running.
 * @param {State} state
 * @param {Send} send
 */
export function updateView({ app, jobs }, send) {
  const busy = jobs.length > 0;
  const button = (/** @type {"update" | "reload"} */ id, /** @type {string} */ name) =>
    html`<p>
      <button
        class="button small"
        type="button"
        id=${id}
        aria-disabled=${busy ? "true" : "false"}
        @click=${() => busy || send({ type: `app/${id}` })}
      >
        ${name}
      </button>
    </p>`;
  if (app.stale) {
    const title = t(app.stale === "published" ? "app.outdated" : "app.stale");
    const message = `${t("app.stale_says")} ${busy ? t("app.update_busy") : t("app.update_free")}`;
    return messageView({ title, message, severity: "warn", kind: "stale", extra: button("reload", t("app.reload")) });
  }
  if (!app.update) return nothing;
  const message = busy ? t("app.update_busy") : t("app.update_free");
  return messageView({
    ...{ title: t("app.update"), message, severity: "good", kind: "update" },
    extra: button("update", t("app.use_new")),
  });
}

/** Names that are listed. */
const MOST_NAMES = 8;

/**
 * Files and models of the last visit: those that the browser gives only after a click, and those that only the user can
 * open again.
 * @param {State} state
 * @param {Send} send
 */
export function sessionView({ session: { waiting, lost } }, send) {
  if (!waiting.length && !lost.length) return nothing;
  const said = (/** @type {string[]} */ names) => names.slice(0, MOST_NAMES).join(", ");
  const button = (/** @type {string} */ id, /** @type {"session/reopen" | "session/dismiss"} */ type) =>
    html`<button class="button small" type="button" id=${id} @click=${() => send({ type })}>
      ${t(type === "session/reopen" ? "session.reopen" : "session.forget_files")}
    </button>`;
  return messageView({
    title: t("session.waiting", { n: waiting.length + lost.length }),
    message: said(waiting),
    severity: waiting.length ? "good" : "warn",
    kind: "session",
    extra: html`${lost.length ? html`<p>${t("session.lost", { names: said(lost) })}</p>` : nothing}
      <p class="downloads">
        ${waiting.length ? button("reopen", "session/reopen") : nothing} ${button("forget-files", "session/dismiss")}
      </p>`,
  });
}
