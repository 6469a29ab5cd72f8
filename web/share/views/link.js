/**
 * A recipe or a report -> the button that copies a link to it; a link to a far file -> the question whether to ask its
 * server.
 */

import { html, nothing } from "lit-html";
import { lookLink, recipeLink } from "../link.js";
import { t } from "../../words.js";
import { link } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { pageAddress } from "../../world.js";

/**
 * @param {import("../../engine/types.d.ts").Recipe} recipe
 * @param {import("../../types.d.ts").State} state
 * @param {import("../../types.d.ts").Send} send
 * @param {string} [id]
 */
export function linkButton(recipe, { files }, send, id = "copy-link") {
  const addresses = new Map(
    files.flatMap(({ address, report }) => (address && report?.sha256 ? [[report.sha256, address]] : [])),
  );
  return html`<button
    class="button small"
    type="button"
    id=${id}
    title=${t("link.recipe_says")}
    @click=${() => copied(recipeLink(recipe, addresses), send)}
  >
    ${link} ${t("link.copy")}
  </button>`;
}

/** @param {{ name: string, sha256: string, address: string }} look @param {import("../../types.d.ts").Send} send */
export function lookButton(look, send) {
  return html`<button
    class="button small"
    type="button"
    id="copy-look-link"
    title=${t("link.look_says")}
    @click=${() => copied(lookLink(look), send)}
  >
    ${link} ${t("link.copy")}
  </button>`;
}

/** @param {string} fragment @param {import("../../types.d.ts").Send} send */
function copied(fragment, send) {
  send({ type: "text/copy", text: new URL(fragment, pageAddress()).href, what: t("link.copied") });
}

/**
 * The addresses that a link leads to: nothing is asked before the click.
 * @param {import("../../types.d.ts").State["asked"]} asked
 * @param {import("../../types.d.ts").Send} send
 */
export function askView(asked, send) {
  if (!asked) return nothing;
  const { addresses, whole } = asked;
  const done = () => send({ type: "link/asked", asked: null });
  const read = () => (done(), addresses.forEach((text) => send({ type: "address/open", text, whole, linked: true })));
  return messageView({
    title: t(whole ? "link.loras" : "link.far"),
    message: t(whole ? "link.loras_say" : "link.far_says"),
    severity: "good",
    kind: "asked",
    extra: html`<ul>
        ${addresses.map(
          (address) =>
            html`<li>
              <strong><bdi>${hostOf(address)}</bdi></strong> <span class="fine">${address}</span>
            </li>`,
        )}
      </ul>
      <p>
        <button class="button small" type="button" id="read-asked" @click=${read}>
          ${t(whole ? "link.bring" : "link.read")}
        </button>
      </p>`,
    dismiss: done,
  });
}

/** @param {string} address */
function hostOf(address) {
  return URL.canParse(address) ? new URL(address).host : "";
}

/**
 * A link that waits for files.
 * @param {import("../../types.d.ts").State["link"]} pending
 * @param {import("../../types.d.ts").Send} send
 */
export function pendingView(pending, send) {
  if (!pending) return nothing;
  const button = (
    /** @type {"link/apply" | "link/forget"} */ type,
    /** @type {string} */ id,
    /** @type {string} */ label,
  ) => html`<button class="button small" type="button" id=${id} @click=${() => send({ type })}>${label}</button>`;
  return messageView({
    title: t("link.pending"),
    message: t(pending.edited ? "link.pending_edited" : "link.pending_says"),
    severity: "good",
    kind: "pending",
    extra: html`<p class="downloads">
      ${pending.edited ? button("link/apply", "apply-link", t("link.apply")) : nothing}
      ${button("link/forget", "forget-link", t("link.forget"))}
    </p>`,
  });
}
