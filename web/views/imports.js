/** What the pickles inside a file would import, if a program ran them: worst first. */

import { html, nothing } from "lit-html";
import { plural } from "../format.js";
import { IMPORTS } from "../words.js";
import { fixButton } from "./fix.js";
import { check, stop, warning } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").ImportRow} Import */

const ORDER = /** @type {const} */ (["dangerous", "unknown", "harmless"]);
const LOOK = { dangerous: "refuse", unknown: "warn", harmless: "good" };
const ICON = { dangerous: stop, unknown: warning, harmless: check };

/** @param {Import[]} imports @param {boolean} canExport its tensors can be read @param {import("../types.d.ts").Send} send */
export function importsView(imports, canExport, send) {
  const worst = ORDER.find((verdict) => imports.some((row) => row.verdict === verdict)) ?? "harmless";
  return html`
    <section class="card imports" id="pickle" aria-labelledby="pickle-title" data-testid="imports" data-worst=${worst}>
      <h3 id="pickle-title">Is it safe to open?</h3>
      <p class="pickle-verdict ${LOOK[worst]}">${ICON[worst]} <span>${IMPORTS[worst].file}</span></p>
      ${ORDER.map((verdict) => groupView(verdict, named(imports, verdict)))}
      ${canExport ? fixButton({ label: "Make a safetensors copy", why: "It holds no code, and every program reads it.", kind: "export", form: {} }, send) : nothing}
      <p class="fine">
        A pickle is a small program that rebuilds what was saved, and whatever loads it runs it. This page reads it as data and runs nothing
        of it.
      </p>
    </section>
  `;
}

/** @param {Import[]} imports @param {Import["verdict"]} verdict */
function named(imports, verdict) {
  /** @type {Map<string, Set<string>>} */
  const places = new Map();
  for (const row of imports.filter((row) => row.verdict === verdict)) places.set(row.name, (places.get(row.name) ?? new Set()).add(row.place));
  return [...places];
}

/** @param {Import["verdict"]} verdict @param {[name: string, places: Set<string>][]} names */
function groupView(verdict, names) {
  if (!names.length) return nothing;
  const list = html`<ul class="import-list">
    ${names.map(([name, places]) => html`<li><code>${name}</code> <span class="fine">in ${[...places].join(", ")}</span></li>`)}
  </ul>`;
  const title = `${IMPORTS[verdict].name}: ${plural(names.length, "name")}`;
  if (verdict !== "harmless") return html`<div><h4 class=${LOOK[verdict]}>${title}</h4>${list}</div>`;
  return html`<details><summary>${title}</summary>${list}</details>`;
}
