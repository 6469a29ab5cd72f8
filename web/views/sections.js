/** The report's sections as a bar that stays in sight: a press scrolls there. */

import { html } from "lit-html";
import { canChange } from "../select.js";

/** @param {import("../engine/types.d.ts").Report} report */
export function sectionsView(report) {
  /** @type {[id: string, name: string, there: boolean][]} */
  const sections = [
    ["look", "Verdict", true],
    ["pickle", "Safety", report.imports.length > 0],
    ["works", "Will it work?", report.loaders.length > 0],
    ["map", "Map", report.coverage.some(({ covered }) => covered > 0)],
    ["modules", "Modules", report.modules.length > 0],
    ["training", "Training", report.training !== null],
    ["metadata", "Metadata", Object.keys(report.metadata).length > 0],
    ["hashes", "Hashes", report.hashes !== null],
    ["change", "Change it", canChange(report)],
    ["compare", "Compare", report.kind === "adapter"],
  ];
  const there = sections.filter(([, , there]) => there);
  return html`
    <nav class="sections" aria-label="Sections of the report">
      <ul>${there.map(([id, name]) => html`<li><button type="button" @click=${() => show(id)}>${name}</button></li>`)}</ul>
    </nav>
  `;
}

/** The section's heading takes the focus, so that a screen reader goes on from there. @param {string} id */
function show(id) {
  const section = document.getElementById(id);
  if (!section) return;
  if (section instanceof HTMLDetailsElement) section.open = true;
  section.scrollIntoView({ block: "start" });
  const heading = section.querySelector("h2, h3");
  heading?.setAttribute("tabindex", "-1");
  if (heading instanceof HTMLElement) heading.focus({ preventScroll: true });
}
