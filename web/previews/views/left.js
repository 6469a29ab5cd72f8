/** Previews that an earlier visit left: how many, and the way to go on. */

import { html, nothing } from "lit-html";
import { messageView } from "../../ui/message.js";
import { t } from "../../words.js";

/** @param {import("../../types.d.ts").State} state @param {import("../../types.d.ts").Send} send */
export function leftPreviewsView({ leftPreviews }, send) {
  if (!leftPreviews) return nothing;
  const { folder, done, all, again } = leftPreviews;
  const button = (/** @type {"resume" | "forget"} */ id, /** @type {string} */ name) =>
    html`<button
      class="button small"
      type="button"
      id="previews-${id}"
      @click=${() => send({ type: `previews/${id}` })}
    >
      ${name}
    </button>`;
  return messageView({
    title: t("previews.left", { done, n: all, folder: folder || t("previews.some_files") }),
    message: again ? "" : t("previews.open_again"),
    severity: "good",
    kind: "previews",
    extra: html`<p class="downloads">
      ${again ? button("resume", t("previews.resume")) : nothing} ${button("forget", t("previews.forget"))}
    </p>`,
  });
}
