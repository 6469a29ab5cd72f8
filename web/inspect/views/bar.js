/** The report's sections as a bar that stays in sight: a press scrolls there. */

import { html, nothing } from "lit-html";
import { t } from "../../words.js";
import { byId } from "../../world.js";
import { sectionsOf } from "./sections.js";

/**
 * @param {import("../../types.d.ts").Shown} shown
 * @param {boolean} draws whether images can be made with it
 */
export function barView(shown, draws) {
  return html`
    <nav class="sections" aria-label=${t("sections.label")}>
      <ul>
        ${sectionsOf(shown).map(({ id, title }) =>
          title ? html`<li><button type="button" @click=${() => show(id)}>${t(title)}</button></li>` : nothing,
        )}
        ${
          draws
            ? html`<li>
                <button type="button" class="to-run" @click=${() => show("run")}>${t("section.run")}</button>
              </li>`
            : nothing
        }
      </ul>
    </nav>
  `;
}

/** The section's heading takes the focus, so that a screen reader goes on from there. @param {string} id */
function show(id) {
  const section = byId(id);
  if (!section) return;
  if (section instanceof HTMLDetailsElement) section.open = true;
  section.scrollIntoView({ block: "start" });
  const heading = section.querySelector("h2, h3");
  heading?.setAttribute("tabindex", "-1");
  if (heading instanceof HTMLElement) heading.focus({ preventScroll: true });
}
