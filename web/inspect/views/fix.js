/**
 * A change that mends something -> its button, which opens the panel "Change this file" as the change needs it, and the
 * layers that programs apply before and after.
 */

import { html } from "lit-html";
import { t } from "../../words.js";

/** @param {import("../fixes.js").Fix} fix @param {import("../../types.d.ts").Send} send */
export function fixButton({ label, why, effect = [], kind, form }, send) {
  return html`<p>
    <button
      class="button small fix"
      type="button"
      title=${why}
      @click=${() => send({ type: "change/opened", kind, form })}
    >
      ${label}
    </button>
    ${effect.map(
      ({ label, before, after, total }) =>
        html`<span class="fine effect">${t("fix.effect", { label, before, after, total })}</span> `,
    )}
  </p>`;
}
