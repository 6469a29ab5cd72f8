/** The page as an app: whether it opens without a connection, the offer to install it, and a newer version. */

import { html, nothing } from "lit-html";
import { messageView } from "./message.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function appView({ app }, send) {
  if (!app.offline && !app.installable) return nothing;
  return html`
    <aside class="app" aria-label="This page as an app" data-testid="app">
      ${app.offline ? html`<p class="fine">This page now opens without a connection as well, and so does the demo once it was used.</p>` : nothing}
      ${app.installable
        ? html`<button class="button small" type="button" id="install" @click=${() => send({ type: "app/install" })}>Install as an app</button>`
        : nothing}
    </aside>
  `;
}

/** A newer version waits until the visitor wants it, and until no picture is being made. @param {State} state @param {Send} send */
export function updateView({ app, run }, send) {
  if (!app.update) return nothing;
  const busy = run.status !== "idle";
  const extra = html`<p>
    <button class="button small" type="button" id="update" aria-disabled=${busy ? "true" : "false"} @click=${() => busy || send({ type: "app/update" })}>
      Use the new version
    </button>
  </p>`;
  const message = busy
    ? "It can be loaded when the picture is finished."
    : "Loading it takes a second, and closes the files that are open here.";
  return messageView({ title: "A newer version of LoRA Loupe is ready", message, severity: "good", kind: "update", extra });
}
