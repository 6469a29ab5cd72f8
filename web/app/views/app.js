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
  if (app.stale) {
    const extra = html`<p>
      <button class="button small" type="button" id="reload" @click=${() => send({ type: "app/reload" })}>
        ${t("app.reload")}
      </button>
    </p>`;
    return messageView({ title: t("app.stale"), message: t("app.stale_says"), severity: "warn", kind: "stale", extra });
  }
  if (!app.update) return nothing;
  const busy = jobs.length > 0;
  const extra = html`<p>
    <button
      class="button small"
      type="button"
      id="update"
      aria-disabled=${busy ? "true" : "false"}
      @click=${() => busy || send({ type: "app/update" })}
    >
      ${t("app.use_new")}
    </button>
  </p>`;
  const message = busy ? t("app.update_busy") : t("app.update_free");
  return messageView({ title: t("app.update"), message, severity: "good", kind: "update", extra });
}

/** Files of the last visit that the browser gives only after a click. @param {State} state @param {Send} send */
export function sessionView({ session: { waiting } }, send) {
  if (!waiting.length) return nothing;
  return messageView({
    title: t("session.waiting", { n: waiting.length }),
    message: waiting.slice(0, 8).join(", "),
    severity: "good",
    kind: "session",
    extra: html`<p class="downloads">
      <button class="button small" type="button" id="reopen" @click=${() => send({ type: "session/reopen" })}>
        ${t("session.reopen")}
      </button>
      <button class="button small" type="button" @click=${() => send({ type: "session/forget" })}>
        ${t("session.forget_files")}
      </button>
    </p>`,
  });
}
