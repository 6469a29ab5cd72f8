/** A change that mends something -> its button: it opens the panel "Change this file" as the change needs it. */

import { html } from "lit-html";

/** @param {import("../fixes.js").Fix} fix @param {import("../../types.d.ts").Send} send */
export function fixButton({ label, why, kind, form }, send) {
  return html`<p><button class="button small fix" type="button" title=${why} @click=${() => send({ type: "change/opened", kind, form })}>${label}</button></p>`;
}
