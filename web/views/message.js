/** An error or a remark -> a card: what happened, why, what to do. */

import { html, nothing } from "lit-html";
import { check, cross, stop, warning } from "./icons.js";
import { textView } from "./text.js";

/**
 * @param {{
 *   title: string, message: string, severity: "refuse" | "warn" | "good",
 *   kind?: string, details?: string[], noun?: string, extra?: unknown, dismiss?: () => void,
 * }} content
 */
export function messageView({ title, message, severity, kind, details = [], noun = "modules", extra, dismiss }) {
  return html`
    <div class="message ${severity}" role=${severity === "refuse" ? "alert" : "note"} data-testid="message" data-kind=${kind ?? nothing}>
      ${{ refuse: stop, warn: warning, good: check }[severity]}
      <div>
        <p class="message-title">${title}</p>
        ${message ? html`<p>${textView(message)}</p>` : nothing}
        ${details.length
          ? html`<details>
              <summary>${details.length} ${noun}</summary>
              <ul class="keys">
                ${details.slice(0, 200).map((detail) => html`<li><code>${detail}</code></li>`)}
                ${details.length > 200 ? html`<li>… and ${details.length - 200} more</li>` : nothing}
              </ul>
            </details>`
          : nothing}
        ${extra ?? nothing}
      </div>
      ${dismiss ? html`<button class="quiet" type="button" aria-label="Dismiss" @click=${dismiss}>${cross}</button>` : nothing}
    </div>
  `;
}
