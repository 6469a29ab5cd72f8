/** A recipe or a report -> the button that copies a link to it; a link to a far file -> the question whether to ask its server. */

import { html, nothing } from "lit-html";
import { lookLink, recipeLink } from "../link.js";
import { link } from "./icons.js";
import { messageView } from "./message.js";

/** @param {import("../engine/types.d.ts").Recipe} recipe @param {import("../types.d.ts").Send} send @param {string} [id] */
export function linkButton(recipe, send, id = "copy-link") {
  return html`<button
    class="button small" type="button" id=${id} title="Whoever opens it gets the same settings; pictures and files do not travel in it"
    @click=${() => copied(recipeLink(recipe), send)}
  >
    ${link} Copy link
  </button>`;
}

/** @param {{ name: string, sha256: string, address: string }} look @param {import("../types.d.ts").Send} send */
export function lookButton(look, send) {
  return html`<button
    class="button small" type="button" id="copy-look-link" title="It names the file; the file itself does not travel in it"
    @click=${() => copied(lookLink(look), send)}
  >
    ${link} Copy link
  </button>`;
}

/** @param {string} fragment @param {import("../types.d.ts").Send} send */
function copied(fragment, send) {
  send({ type: "text/copied", text: new URL(fragment, location.href).href, what: "Link" });
}

/** @param {string} address @param {import("../types.d.ts").Send} send */
export function askView(address, send) {
  if (!address) return nothing;
  const done = () => send({ type: "link/asked", address: "" });
  const read = () => (done(), send({ type: "address/opened", text: address }));
  return messageView({
    title: "This link leads to a file elsewhere",
    message: `${address} Reading it asks that server for the file's header, and for nothing of yours.`,
    severity: "good",
    kind: "asked",
    extra: html`<p><button class="button small" type="button" id="read-asked" @click=${read}>Read it there</button></p>`,
    dismiss: done,
  });
}
