/** What the pickles inside a file would import, if a program ran them: worst first. */

import { html, nothing } from "lit-html";
import { canChange, some } from "../../select.js";
import { say, t, word } from "../../words.js";
import { fixButton } from "./fix.js";
import { check, stop, warning } from "../../ui/icons.js";

/** @typedef {import("../../engine/types.d.ts").ImportRow} Import */

const ORDER = /** @type {const} */ (["dangerous", "unknown", "harmless"]);
/** Names and places on show. */
const MOST = 200;
const LOOK = { dangerous: "refuse", unknown: "warn", harmless: "good" };
const ICON = { dangerous: stop, unknown: warning, harmless: check };

/** @type {import("../../types.d.ts").Section<Import[]>} */
export const importsSection = {
  id: "pickle",
  title: "section.safety",
  of: ({ report }) => some(report.imports),
  from: ({ report }) => [report],
  view: (imports, { report, send }) => importsView(imports, canChange(report), send),
};

/**
 * @param {Import[]} imports
 * @param {boolean} canExport its tensors can be read
 * @param {import("../../types.d.ts").Send} send
 */
function importsView(imports, canExport, send) {
  const worst = ORDER.find((verdict) => imports.some((row) => row.verdict === verdict)) ?? "harmless";
  return html`
    <section class="card imports" id="pickle" aria-labelledby="pickle-title" data-testid="imports" data-worst=${worst}>
      <h3 id="pickle-title">${t("imports.title")}</h3>
      <p class="pickle-verdict ${LOOK[worst]}">${ICON[worst]} <span>${word("import_file", worst)}</span></p>
      ${ORDER.map((verdict) => groupView(verdict, named(imports, verdict)))}
      ${
        canExport
          ? fixButton({ label: t("imports.export"), why: t("imports.export_why"), kind: "export", form: {} }, send)
          : nothing
      }
      <p class="fine">${t("imports.pickle")}</p>
    </section>
  `;
}

/** @param {Import[]} imports @param {Import["verdict"]} verdict */
function named(imports, verdict) {
  /** @type {Map<string, Set<string>>} */
  const places = new Map();
  for (const row of imports.filter((row) => row.verdict === verdict))
    places.set(say(row.name), (places.get(say(row.name)) ?? new Set()).add(say(row.place)));
  return [...places];
}

/** @param {Import["verdict"]} verdict @param {[name: string, places: Set<string>][]} names */
function groupView(verdict, names) {
  if (!names.length) return nothing;
  const list = html`<ul class="import-list">
    ${names.slice(0, MOST).map(
      ([name, places]) =>
        html`<li>
          <code>${name}</code>
          <span class="fine">${t("imports.in", { places: [...places].slice(0, MOST).join(", ") })}</span>
        </li>`,
    )}
    ${names.length > MOST ? html`<li>${t("message.more", { n: names.length - MOST })}</li>` : nothing}
  </ul>`;
  const title = t("imports.group", { verdict: word("import", verdict), names: t("n.name", { n: names.length }) });
  if (verdict !== "harmless")
    return html`<div>
      <h4 class=${LOOK[verdict]}>${title}</h4>
      ${list}
    </div>`;
  return html`<details>
    <summary>${title}</summary>
    ${list}
  </details>`;
}
