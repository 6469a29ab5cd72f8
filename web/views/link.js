/** A recipe or a report -> the button that copies a link to it; a link to a far file -> the question whether to ask its server. */

import { html, nothing } from "lit-html";
import { lookLink, recipeLink } from "../link.js";
import { t } from "../words.js";
import { link } from "./icons.js";
import { messageView } from "./message.js";

/** @param {import("../engine/types.d.ts").Recipe} recipe @param {import("../types.d.ts").Send} send @param {string} [id] */
export function linkButton(recipe, send, id = "copy-link") {
  return html`<button
    class="button small" type="button" id=${id} title=${t("link.recipe_says")}
    @click=${() => copied(recipeLink(recipe), send)}
  >
    ${link} ${t("link.copy")}
  </button>`;
}

/** @param {{ name: string, sha256: string, address: string }} look @param {import("../types.d.ts").Send} send */
export function lookButton(look, send) {
  return html`<button
    class="button small" type="button" id="copy-look-link" title=${t("link.look_says")}
    @click=${() => copied(lookLink(look), send)}
  >
    ${link} ${t("link.copy")}
  </button>`;
}

/** @param {string} fragment @param {import("../types.d.ts").Send} send */
function copied(fragment, send) {
  send({ type: "text/copied", text: new URL(fragment, location.href).href, what: t("link.copied") });
}

/** @param {string} address @param {import("../types.d.ts").Send} send */
export function askView(address, send) {
  if (!address) return nothing;
  const done = () => send({ type: "link/asked", address: "" });
  const read = () => (done(), send({ type: "address/opened", text: address }));
  return messageView({
    title: t("link.far"),
    message: t("link.far_says", { address }),
    severity: "good",
    kind: "asked",
    extra: html`<p><button class="button small" type="button" id="read-asked" @click=${read}>${t("link.read")}</button></p>`,
    dismiss: done,
  });
}
