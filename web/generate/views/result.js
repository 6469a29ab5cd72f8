/**
 * Two images of one seed -> side by side, under one slider or as their difference, with what was applied, downloads and
 * a link.
 */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { formatFixed, formatNumber, formatSeconds } from "../../core/format.js";
import { t, word } from "../../words.js";
import { compareChoice, differenceView, sliderView } from "../../gallery/views/pair.js";
import { imageTools } from "../../gallery/views/tools.js";
import { download } from "../../ui/icons.js";
import { linkButton } from "../../share/views/link.js";

/** @typedef {import("../../engine/types.d.ts").GeneratedImage} GeneratedImage */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../../types.d.ts").Result} Result */

/** @param {import("../../types.d.ts").State} state @param {Send} send */
export function resultView(state, send) {
  const { result, run, compare, smooth } = state;
  if (!result) {
    if (run.status !== "idle") return html`<div class="images">${placeholder(t("result.without"))}</div>`;
    return isSample(state) ? sampleView(state) : html`<p class="empty">${t("result.empty")}</p>`;
  }
  const both = result.without && result.with;
  return html`
    <div class="result" data-testid="result" aria-busy=${run.status === "idle" ? "false" : "true"}>
      <div class="tools">
        ${both ? compareChoice(compare, "compare", (way) => send({ type: "result/compared", compare: way })) : nothing}
        <label class="check">
          <input
            type="checkbox"
            id="smooth"
            .checked=${live(smooth)}
            @change=${(/** @type {Event} */ { target }) =>
              send({ type: "result/smoothed", smooth: /** @type {HTMLInputElement} */ (target).checked })}
          />
          ${t("result.smooth")}
        </label>
      </div>
      ${
        both && compare !== "side"
          ? joinedView(result, compare, smooth)
          : sideView(result, run.status !== "idle" && !run.grid, smooth)
      }
      ${captionView(result)}
      <p class="downloads">
        ${result.without ? downloadView("without", result, send) : nothing}
        ${result.with ? downloadView("with", result, send) : nothing}
        ${result.without || result.with ? imageTools(drawingOf(result), "image", send) : nothing}
        <button class="button small" type="button" id="reuse-seed" @click=${() => send({ type: "seed/reuse" })}>
          ${t("tools.seed")}
        </button>
        ${linkButton(result.recipe, state, send)}
      </p>
    </div>
  `;
}

/** Whether the form asks for the demo's own image, which lies ready. @param {import("../../types.d.ts").State} state */
function isSample({ base, demo: { catalogue }, form }) {
  if (base.chosen !== "demo" || !catalogue) return false;
  return (
    form.prompt === catalogue.prompts[0] &&
    form.loras.length === 1 &&
    form.loras[0].id === `demo:${catalogue.loras[0].file}`
  );
}

/** @param {import("../../types.d.ts").State} state */
function sampleView({ demo: { catalogue } }) {
  const [{ label }] = catalogue?.loras ?? [];
  const image = (/** @type {string} */ file, /** @type {string} */ name) =>
    html`<figure>
      <img
        class="sample"
        src="./samples/${file}.png"
        alt="${catalogue?.prompts[0]}, ${name}"
        width="320"
        height="320"
      />
      <figcaption>${name}</figcaption>
    </figure>`;
  return html`<div class="result" data-testid="sample">
    <div class="images">${image("without", t("result.without"))} ${image("with", `${label} × ${formatFixed(1)}`)}</div>
    <p class="fine">${t("result.sample")}</p>
  </div>`;
}

/** @param {Result} result @param {boolean} busy @param {boolean} smooth */
function sideView(result, busy, smooth) {
  const lora = result.loras.length > 0;
  return html`
    <div class="images">
      ${
        result.without
          ? figureView(result.without, lora ? t("result.without") : t("result.no_lora"), "without", smooth, result)
          : nothing
      }
      ${
        result.with
          ? figureView(result.with, withName(result), "with", smooth, result)
          : lora && busy
            ? placeholder(withName(result))
            : nothing
      }
    </div>
  `;
}

/**
 * @param {GeneratedImage} image
 * @param {string} name
 * @param {"without" | "with"} which
 * @param {boolean} smooth
 * @param {Result} result
 */
function figureView(image, name, which, smooth, { recipe }) {
  return html`<figure>
    <pixel-image
      .image=${image}
      ?smooth=${smooth}
      label="${recipe.prompt}, ${name}"
      data-testid="image-${which}"
    ></pixel-image>
    <figcaption>${name}</figcaption>
  </figure>`;
}

/** @param {Result} result @param {"slider" | "difference"} compare @param {boolean} smooth */
function joinedView(result, compare, smooth) {
  const { without, with: stacked, recipe } = result;
  if (!without || !stacked) return nothing;
  const name = withName(result);
  const [before, after] = [
    { image: without, name: t("result.without"), label: t("result.named", { prompt: recipe.prompt }) },
    { image: stacked, name, label: `${recipe.prompt}, ${name}` },
  ];
  return compare === "slider" ? sliderView(before, after, smooth) : differenceView(before, after);
}

/** @param {string} name */
function placeholder(name) {
  return html`<figure class="coming">
    <div class="blank"></div>
    <figcaption>${name}</figcaption>
  </figure>`;
}

/** @param {Pick<Result, "loras">} result */
export function withName({ loras }) {
  return loras.map(({ label, strength }) => `${label} × ${formatFixed(strength)}`).join(" + ");
}

/** How an image was made, in a sentence. @param {import("../../engine/types.d.ts").Recipe} recipe */
export function recipeLine({ prompt, seed, steps, sampler, guidance }) {
  return t("result.caption", {
    prompt,
    seed,
    steps: t("n.step", { n: steps }),
    sampler: word("sampler", sampler),
    guidance: formatNumber(guidance),
  });
}

/** @param {Result} result */
function captionView({ plain, recipe, preview, without, with: image }) {
  const applied = (image?.applied ?? []).map(({ name, matched, leftovers: left }) => {
    const modules = t("n.module", { n: matched });
    return html`<li>
      ${left ? t("result.applied_left", { name, modules, left }) : t("result.applied", { name, modules })}
    </li>`;
  });
  const seconds = (without?.seconds ?? 0) + (image?.seconds ?? 0);
  return html`<div class="fine" data-testid="caption">
    ${
      applied.length
        ? html`<ul class="applied">
            ${applied}
          </ul>`
        : nothing
    }
    <p>
      ${recipeLine(plain)} ${t("result.drawn", { time: formatSeconds(seconds) })}
      ${preview ? html`<strong>${t("result.quick", { steps: t("n.step", { n: recipe.steps }) })}</strong>` : nothing}
    </p>
  </div>`;
}

/**
 * One image of a result: the one with the LoRAs, if it is there.
 * @param {Result} result
 * @param {"without" | "with"} [which]
 */
function drawingOf(result, which = result.with ? "with" : "without") {
  const image = /** @type {GeneratedImage} */ (result[which]);
  return which === "with"
    ? { image, recipe: result.recipe, loras: result.loras }
    : { image, recipe: result.plain, loras: [] };
}

/** @param {"without" | "with"} which @param {Result} result @param {Send} send */
function downloadView(which, result, send) {
  const name = which === "with" ? withName(result) : "";
  return html`<button
    class="button small"
    type="button"
    id="download-${which}"
    @click=${() => send({ type: "image/save", drawing: drawingOf(result, which) })}
  >
    ${download} ${name ? t("result.png", { name }) : t("result.png_without")}
  </button>`;
}
