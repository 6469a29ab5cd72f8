/** An error or a remark -> a card: what happened, why, what to do. */

import { html, nothing } from "lit-html";
import { t } from "../words.js";
import { check, cross, stop, warning } from "./icons.js";
import { sentenceView } from "./text.js";

/** @typedef {import("./text.js").Sentence} Sentence */

/**
 * @param {{
 *   title: string, message: Sentence | string, sentence?: Sentence, severity: "refuse" | "warn" | "good",
 *   kind?: string, details?: string[], extra?: unknown, dismiss?: () => void,
 * }} content `sentence`: an error's message in words of the page's language
 */
export function messageView({ title, message, sentence, severity, kind, details = [], extra, dismiss }) {
  const said = sentence ?? message;
  return html`
    <div
      class="message ${severity}"
      role=${severity === "refuse" ? "alert" : "note"}
      data-testid="message"
      data-kind=${kind ?? nothing}
    >
      ${{ refuse: stop, warn: warning, good: check }[severity]}
      <div>
        <p class="message-title">${title}</p>
        ${said ? html`<p>${sentenceView(said)}</p>` : nothing}
        ${
          details.length
            ? html`<details>
                <summary>${t("message.modules", { n: details.length })}</summary>
                <ul class="keys">
                  ${details.slice(0, 200).map((detail) => html`<li><code>${detail}</code></li>`)}
                  ${details.length > 200 ? html`<li>${t("message.more", { n: details.length - 200 })}</li>` : nothing}
                </ul>
              </details>`
            : nothing
        }
        ${extra ?? nothing}
      </div>
      ${
        dismiss
          ? html`<button class="quiet" type="button" aria-label=${t("button.dismiss")} @click=${dismiss}>
              ${cross}
            </button>`
          : nothing
      }
    </div>
  `;
}
