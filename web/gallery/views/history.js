/** The images of this visit -> a row to choose from, and the chosen one, alone or beside the pinned one. */

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { drawingOf } from "../state.js";
import { t } from "../../words.js";
import { compareChoice, differenceView, sameSize, sliderView } from "./pair.js";
import { download, pin } from "../../ui/icons.js";
import { imageTools } from "./tools.js";
import { linkButton } from "../../share/views/link.js";
import { recipeLine, withName } from "../../generate/views/result.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Drawing} Drawing */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function historyView(state, send) {
  const { items, selected } = state.history;
  if (items.length < 3) return nothing; // the two that are on show already
  const chosen = drawingOf(state, selected);
  return html`
    <section class="card history" id="history" aria-labelledby="history-title" data-testid="history">
      <header>
        <h3 id="history-title">${t("history.title")}</h3>
        <p class="fine">${t("history.says", { images: t("n.image", { n: items.length }) })}</p>
        <button class="button small" type="button" id="save-history" @click=${() => send({ type: "history/save" })}>
          ${download} ${t("history.save")}
        </button>
      </header>
      <ul class="row-of-images">
        ${repeat(
          items.toReversed(),
          ({ id }) => id,
          (item) => itemView(state, item, send),
        )}
      </ul>
      ${chosen ? chosenView(state, chosen, send) : nothing}
    </section>
  `;
}

/** @param {State} state @param {Drawing} item @param {Send} send */
function itemView({ history, smooth }, item, send) {
  const { id, image, recipe } = item;
  const chosen = id === history.selected;
  return html`<li>
    <button
      type="button"
      class="thumb"
      aria-pressed=${chosen ? "true" : "false"}
      aria-label="${recipe.prompt}, ${t("grid.cell", { name: nameOf(item), seed: recipe.seed })}"
      @click=${() => send({ type: "history/changed", change: { selected: chosen ? 0 : id } })}
    >
      <pixel-image .room=${96} .image=${image} ?smooth=${smooth} label=""></pixel-image>
      <span>${nameOf(item)}</span>
      ${id === history.pinned ? html`<span class="pinned" title=${t("history.pinned")}>${pin}</span>` : nothing}
    </button>
  </li>`;
}

/** @param {Drawing} drawing */
function nameOf(drawing) {
  return withName(drawing) || t("grid.no_lora");
}

/** @param {State} state @param {Drawing} chosen @param {Send} send */
function chosenView(state, chosen, send) {
  const { pinned, compare } = state.history;
  const other = pinned === chosen.id ? undefined : drawingOf(state, pinned);
  return html`
    <div class="chosen" data-testid="chosen">
      ${
        other && sameSize(other.image, chosen.image)
          ? html`<div class="tools">
              ${compareChoice(compare, "history", (way) => send({ type: "history/changed", change: { compare: way } }))}
            </div>`
          : nothing
      }
      ${
        other
          ? pairView(other, chosen, compare, state.smooth)
          : html`<div class="images">${figureView(chosen, state.smooth)}</div>`
      }
      <p class="fine">${recipeLine(chosen.recipe)}</p>
      <p class="downloads">
        <button
          class="button small"
          type="button"
          id="use-settings"
          @click=${() => send({ type: "history/use", id: chosen.id })}
        >
          ${t("history.use")}
        </button>
        <button
          class="button small"
          type="button"
          id="pin"
          aria-pressed=${pinned === chosen.id ? "true" : "false"}
          @click=${() => send({ type: "history/changed", change: { pinned: pinned === chosen.id ? 0 : chosen.id } })}
        >
          ${pin} ${pinned === chosen.id ? t("history.unpin") : t("history.pin")}
        </button>
        <button class="button small" type="button" @click=${() => send({ type: "image/save", drawing: chosen })}>
          ${download} PNG
        </button>
        ${imageTools(chosen, "chosen", send)} ${linkButton(chosen.recipe, state, send, "copy-chosen-link")}
      </p>
    </div>
  `;
}

/** @param {Drawing} before @param {Drawing} after @param {State["compare"]} compare @param {boolean} smooth */
function pairView(before, after, compare, smooth) {
  const side = (/** @type {Drawing} */ drawing) => ({
    image: drawing.image,
    name: nameOf(drawing),
    label: `${drawing.recipe.prompt}, ${nameOf(drawing)}`,
  });
  if (compare === "side" || !sameSize(before.image, after.image)) {
    return html`<div class="images">${figureView(before, smooth)} ${figureView(after, smooth)}</div>`;
  }
  return compare === "slider"
    ? sliderView(side(before), side(after), smooth)
    : differenceView(side(before), side(after));
}

/** @param {Drawing} drawing @param {boolean} smooth */
function figureView(drawing, smooth) {
  return html`<figure>
    <pixel-image
      .image=${drawing.image}
      ?smooth=${smooth}
      label="${drawing.recipe.prompt}, ${nameOf(drawing)}"
    ></pixel-image>
    <figcaption>${t("grid.cell", { name: nameOf(drawing), seed: drawing.recipe.seed })}</figcaption>
  </figure>`;
}
