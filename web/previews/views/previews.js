/** The panel for previews of a folder's LoRAs: the recipe, how far they are, what was passed over, ways to save. */

import { html, nothing } from "lit-html";
import { formatSeconds } from "../../core/format.js";
import { folderRows } from "../../files/folder.js";
import { sizeStep } from "../../select.js";
import { numberField, textInto } from "../../ui/fields.js";
import { cross, download } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { t } from "../../words.js";
import { TRIGGER, countsOf, passedOver } from "../plan.js";
import { savedText } from "../state.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Previews} Previews */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {(change: Partial<import("../../types.d.ts").PreviewForm>) => void} Change */

/** The button in the head of a folder's table. @param {State} state @param {Send} send */
export function previewsButton({ previews }, send) {
  if (previews) return nothing;
  return html`<button
    class="button small"
    type="button"
    id="previews-open"
    @click=${() => send({ type: "previews/open" })}
  >
    ${t("previews.open")}
  </button>`;
}

/** @param {State} state @param {Send} send */
export function previewsView(state, send) {
  const { previews, look } = state;
  if (!previews || !look.folder) return nothing;
  const { error, status, saved } = previews;
  return html`<section class="previews" aria-labelledby="previews-title" data-testid="previews" data-status=${status}>
    <header>
      <h3 id="previews-title">${t("previews.title")}</h3>
      <button
        class="quiet"
        type="button"
        aria-label=${t("previews.close")}
        @click=${() => send({ type: "previews/close" })}
      >
        ${cross}
      </button>
    </header>
    <p class="fine">${t("previews.says", { model: modelName(state) })}</p>
    ${formView(state, previews, send)} ${goView(state, previews, folderRows(look.folder).length, send)}
    ${error ? messageView({ title: t("previews.stopped"), severity: "warn", ...error }) : nothing}
    ${passedView(previews, look.folder.rows)} ${saveView(previews, send)}
    ${saved ? html`<p data-testid="previews-saved">${savedText(saved)}</p>` : nothing}
  </section>`;
}

/** @param {State} state */
function modelName({ base, demo }) {
  if (base.chosen === "demo") return demo.catalogue?.name ?? "";
  return base.own.find(({ id }) => id === base.chosen)?.name ?? "";
}

/** @param {State} state @param {Previews} previews @param {Send} send */
function formView(state, { form, status }, send) {
  const change = (/** @type {Parameters<Change>[0]} */ change) => send({ type: "previews/changed", change });
  const step = sizeStep(state);
  const numbers = /** @type {const} */ ([
    ["strength", { min: -4, max: 4, step: 0.05, mode: "decimal" }],
    ["seed", { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 }],
    ["steps", { min: 1, max: 150, step: 1 }],
    ["guidance", { min: 0, max: 30, step: 0.5, mode: "decimal" }],
    // The demo is always drawn at its own size.
    ...(state.base.chosen === "demo"
      ? []
      : /** @type {const} */ ([
          ["width", { min: step, max: 2048, step }],
          ["height", { min: step, max: 2048, step }],
        ])),
  ]);
  return html`<fieldset class="previews-form" ?disabled=${status === "running"}>
    <legend class="visually-hidden">${t("previews.recipe")}</legend>
    <label class="field whole">
      <span>${t("form.prompt")} <span class="fine">${t("previews.trigger", { place: TRIGGER })}</span></span>
      <input
        type="text"
        id="previews-prompt"
        autocomplete="off"
        .value=${form.prompt}
        @input=${textInto("prompt", change)}
      />
    </label>
    <label class="field whole">
      <span>${t("form.negative")}</span>
      <input
        type="text"
        id="previews-negative"
        autocomplete="off"
        .value=${form.negative}
        @input=${textInto("negative", change)}
      />
    </label>
    ${numbers.map(([name, range]) =>
      numberField(
        t(name === "strength" ? "previews.strength" : `form.${name}`),
        `previews-${name}`,
        form[name],
        range,
        (given) => {
          const value = given[`previews-${name}`];
          if (value !== undefined) change({ [name]: value });
        },
      ),
    )}
  </fieldset>`;
}

/** @param {State} state @param {Previews} previews @param {number} shown @param {Send} send */
function goView({ jobs, device, demo }, previews, shown, send) {
  const { status, seconds } = previews;
  const counts = countsOf(previews);
  if (status === "running") {
    const left = counts.all - counts.made - counts.skipped - counts.failed;
    const waits = jobs.some(({ kind, status }) => kind === "previews" && status !== "running");
    return html`<div class="progress" data-testid="previews-progress">
      <div>
        <p id="previews-what">
          ${waits ? t("previews.waits") : t("previews.running", { done: counts.all - left, all: counts.all || shown })}
        </p>
        <progress max="1" .value=${counts.all ? 1 - left / counts.all : 0} aria-labelledby="previews-what"></progress>
        <p class="fine">
          ${seconds !== null && left ? t("progress.left", { seconds: formatSeconds(seconds * left) }) : nothing}
        </p>
      </div>
      <button class="button" type="button" id="previews-stop" @click=${() => send({ type: "previews/stop" })}>
        ${t("button.cancel")}
      </button>
    </div>`;
  }
  const ready = device.status === "ready" && demo.catalogue !== null && shown > 0;
  return html`<p class="made-actions">
    <button
      class="button primary"
      type="button"
      id="previews-start"
      aria-disabled=${ready ? "false" : "true"}
      @click=${() => ready && send({ type: "previews/start" })}
    >
      ${t(status === "stopped" ? "previews.go_on" : "previews.start", { n: shown })}
    </button>
    ${counts.all ? html`<span class="fine">${t("previews.counts", counts)}</span>` : nothing}
  </p>`;
}

/** @param {Previews} previews @param {import("../../types.d.ts").FolderRow[]} rows */
function passedView(previews, rows) {
  const passed = passedOver(previews, rows);
  if (!passed.length) return nothing;
  return html`<details data-testid="previews-passed">
    <summary>${t("previews.passed", { n: passed.length })}</summary>
    <ul class="keys">
      ${passed.map(({ path, reason }) => html`<li><bdi>${path}</bdi>: ${reason}</li>`)}
    </ul>
  </details>`;
}

/** @param {Previews} previews @param {Send} send */
function saveView(previews, send) {
  if (!countsOf(previews).made) return nothing;
  const button = (
    /** @type {"zip" | "folder" | "embedded"} */ as,
    /** @type {string} */ name,
    /** @type {string} */ says,
  ) =>
    html`<button
      class="button small"
      type="button"
      id="previews-${as}"
      title=${says}
      @click=${() => send({ type: "previews/save", as })}
    >
      ${download} ${name}
    </button>`;
  const writes = "showDirectoryPicker" in window;
  return html`<p class="made-actions">
      ${button("zip", t("previews.zip"), t("previews.zip_says"))}
      ${writes ? button("folder", t("previews.folder"), t("previews.folder_says")) : nothing}
      ${button("embedded", t("previews.embedded"), t("previews.embedded_says"))}
    </p>
    <p class="fine">${t("previews.names")}</p>`;
}

/**
 * What a row of the table shows of its preview.
 * @param {import("../../types.d.ts").LoraPreview | undefined} preview @param {string} name of the file
 */
export function previewCell(preview, name) {
  if (!preview) return html`<div class="blank"></div>`;
  if (preview.status === "made")
    return html`<img src=${preview.url} alt=${t("previews.alt", { name })} width="56" height="56" loading="lazy" />`;
  return html`<span class="fine">${t(preview.status === "skipped" ? "previews.none" : "previews.failed")}</span>`;
}
