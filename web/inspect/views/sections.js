/** The sections of a report, in their order. */

import { html } from "lit-html";
import { guard } from "lit-html/directives/guard.js";
import { changeSection } from "../../edit/views/change.js";
import { safely } from "../../ui/boundary.js";
import { compareSection } from "./compare.js";
import { hashesSection } from "./hashes.js";
import { importsSection } from "./imports.js";
import { mapSection } from "./map.js";
import { metadataSection } from "./metadata.js";
import { leftoversSection, modulesSection } from "./modules.js";
import { trainingSection } from "./training.js";
import { triggersSection } from "./triggers.js";
import { verdictSection } from "./verdict.js";
import { worksSection } from "./works.js";

/** @typedef {import("../../types.d.ts").Shown} Shown */

/** @type {import("../../types.d.ts").Section<any>[]} */
export const SECTIONS = [
  verdictSection,
  importsSection,
  worksSection,
  mapSection,
  modulesSection,
  leftoversSection,
  trainingSection,
  triggersSection,
  metadataSection,
  hashesSection,
  changeSection,
  compareSection,
];

/** The sections that a file has. @param {Shown} shown */
export function sectionsOf(shown) {
  return SECTIONS.filter(({ of }) => of(shown) !== null);
}

/** All sections that are drawn so far, each again only with what it says. @param {Shown} shown */
export function sectionsView(shown) {
  const { look, language } = shown.state;
  return SECTIONS.map(({ late, of, from, view }) => {
    const about = late && !look.settled ? null : of(shown);
    if (about === null) return null;
    const drawn = () => safely(() => view(about, shown));
    return html`${from ? guard([...from(shown), language], drawn) : drawn()}`;
  });
}
