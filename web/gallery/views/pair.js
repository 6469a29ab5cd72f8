/** Two pictures -> side by side, under one slider, or as their difference. */

import { html } from "lit-html";
import { differenceOf } from "../difference.js";
import { formatNumber } from "../../core/format.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").Compare} Compare */
/** @typedef {import("../../engine/types.d.ts").Picture} Picture */
/** @typedef {{ picture: Picture, name: string, label: string }} Side `name` is shown, `label` read out */

/** @returns {[Compare, string][]} */
const ways = () => [["side", t("pair.side")], ["slider", t("pair.slider")], ["difference", t("pair.difference")]];

/** @param {Compare} compare @param {string} id of the buttons, before the way @param {(compare: Compare) => void} choose */
export function compareChoice(compare, id, choose) {
  return html`<div class="segments" role="group" aria-label=${t("pair.label")}>
    ${ways().map(
      ([way, name]) =>
        html`<button type="button" id="${id}-${way}" aria-pressed=${compare === way ? "true" : "false"} @click=${() => choose(way)}>${name}</button>`,
    )}
  </div>`;
}

/** @param {Side} before @param {Side} after @param {boolean} smooth */
export function sliderView(before, after, smooth) {
  return html`
    <div class="compared">
      <before-after label=${t("pair.slider_label")} data-testid="slider">
        <pixel-picture slot="before" .room=${512} .picture=${before.picture} ?smooth=${smooth} label=${before.label}></pixel-picture>
        <pixel-picture slot="after" .room=${512} .picture=${after.picture} ?smooth=${smooth} label=${after.label}></pixel-picture>
      </before-after>
      <p class="ends"><span>${before.name}</span><span>${after.name}</span></p>
    </div>
  `;
}

/** @param {Side} before @param {Side} after */
export function differenceView(before, after) {
  const { pixels, most, mean } = differenceOf(before.picture, after.picture);
  const said =
    most === 0
      ? t("pair.equal")
      : t("pair.says", { most, mean: formatNumber(mean) });
  return html`
    <figure class="compared" data-testid="difference">
      <pixel-picture .room=${512} .picture=${pixels} label=${t("pair.where", { before: before.name, after: after.name })}></pixel-picture>
      <figcaption class="fine">${said}</figcaption>
    </figure>
  `;
}

/** Whether the two can lie on top of each other. @param {Picture} a @param {Picture} b */
export function sameSize(a, b) {
  return a.width === b.width && a.height === b.height;
}
