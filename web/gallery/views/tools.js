/** What can be done with one image: the buttons below results and the history. */

import { html } from "lit-html";
import { t } from "../../words.js";
import { copy } from "../../ui/icons.js";

/** @typedef {Omit<import("../../types.d.ts").Drawing, "id">} Image */

/**
 * @param {Image} drawing
 * @param {string} id of the buttons, behind what they do
 * @param {import("../../types.d.ts").Send} send
 */
export function imageTools(drawing, id, send) {
  const tool = (
    /** @type {"image/copy" | "image/enlarge" | "image/start" | "image/inpaint"} */ type,
    /** @type {unknown} */ label,
  ) =>
    html`<button
      class="button small"
      type="button"
      id="${type.split("/")[1]}-${id}"
      @click=${() => send({ type, drawing })}
    >
      ${label}
    </button>`;
  return html`
    ${tool("image/copy", html`${copy} ${t("tools.copy")}`)} ${tool("image/start", t("tools.start"))}
    ${tool("image/inpaint", t("tools.inpaint"))} ${tool("image/enlarge", t("tools.enlarge"))}
  `;
}
