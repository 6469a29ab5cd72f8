/** The report's sections as a bar that stays in sight: a press scrolls there. */

import { html, nothing } from "lit-html";
import { canChange } from "../../select.js";
import { t } from "../../words.js";
import { byId } from "../../world.js";

/**
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {boolean} draws whether images can be made with it
 */
export function sectionsView(report, draws) {
  /** @type {[id: string, name: string, there: boolean][]} */
  const sections = [
    ["look", t("section.verdict"), true],
    ["pickle", t("section.safety"), report.imports.length > 0],
    ["works", t("works.title"), report.loaders.length > 0],
    ["map", t("section.map"), report.coverage.some(({ covered }) => covered > 0)],
    ["modules", t("modules.title"), report.modules.length > 0],
    ["training", t("section.training"), report.training !== null],
    ["metadata", t("metadata.title"), Object.keys(report.metadata).length > 0],
    ["hashes", t("section.hashes"), report.hashes !== null],
    ["change", t("section.change"), canChange(report)],
    ["compare", t("section.compare"), report.kind === "adapter"],
  ];
  const there = sections.filter(([, , there]) => there);
  return html`
    <nav class="sections" aria-label=${t("sections.label")}>
      <ul>
        ${there.map(([id, name]) => html`<li><button type="button" @click=${() => show(id)}>${name}</button></li>`)}
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
