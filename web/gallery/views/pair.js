/** Two images -> side by side, under one slider, or as their difference. */

import { html } from "lit-html";
import { differenceOf } from "../difference.js";
import { formatNumber } from "../../core/format.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").Compare} Compare */
/** @typedef {import("../../engine/types.d.ts").GeneratedImage} GeneratedImage */
/** @typedef {{ image: GeneratedImage, name: string, label: string }} Side `name` is shown, `label` read out */

/** @returns {[Compare, string][]} */
const ways = () => [
  ["side", t("pair.side")],
  ["slider", t("pair.slider")],
  ["difference", t("pair.difference")],
];

/**
 * @param {Compare} compare
 * @param {string} id of the buttons, before the way
 * @param {(compare: Compare) => void} choose
 */
export function compareChoice(compare, id, choose) {
  return html`<div class="segments" role="group" aria-label=${t("pair.label")}>
    ${ways().map(
      ([way, name]) =>
        html`<button
          type="button"
          id="${id}-${way}"
          aria-pressed=${compare === way ? "true" : "false"}
          @click=${() => choose(way)}
        >
          ${name}
        </button>`,
    )}
  </div>`;
}

/** @param {Side} before @param {Side} after @param {boolean} smooth */
export function sliderView(before, after, smooth) {
  return html`
    <div class="compared">
      <before-after label=${t("pair.slider_label")} data-testid="slider">
        <pixel-image
          slot="before"
          .room=${512}
          .image=${before.image}
          ?smooth=${smooth}
          label=${before.label}
        ></pixel-image>
        <pixel-image
          slot="after"
          .room=${512}
          .image=${after.image}
          ?smooth=${smooth}
          label=${after.label}
        ></pixel-image>
      </before-after>
      <p class="ends"><span>${before.name}</span><span>${after.name}</span></p>
    </div>
  `;
}

/** @param {Side} before @param {Side} after */
export function differenceView(before, after) {
  const { pixels, most, mean } = differenceOf(before.image, after.image);
  const said = most === 0 ? t("pair.equal") : t("pair.says", { most, mean: formatNumber(mean) });
  return html`
    <figure class="compared" data-testid="difference">
      <pixel-image
        .room=${512}
        .image=${pixels}
        label=${t("pair.where", { before: before.name, after: after.name })}
      ></pixel-image>
      <figcaption class="fine">${said}</figcaption>
    </figure>
  `;
}

/** Whether the two can lie on top of each other. @param {GeneratedImage} a @param {GeneratedImage} b */
export function sameSize(a, b) {
  return a.width === b.width && a.height === b.height;
}
