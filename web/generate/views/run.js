/** Act two, Run: the form on one side, the images on the other. */

import { html, nothing } from "lit-html";
import { formatBytes, formatFixed } from "../../core/format.js";
import { entryById, firstChannels, fitsModel, textWidth, usable } from "../../select.js";
import { familyName, t } from "../../words.js";
import { deviceView } from "../../device/views/device.js";
import { checkpointButton } from "./base.js";
import { formView } from "./form.js";
import { gridView } from "../../gallery/views/grid.js";
import { historyView } from "../../gallery/views/history.js";
import { messageView } from "../../ui/message.js";
import { pendingView } from "../../share/views/link.js";
import { progressView } from "./progress.js";
import { resultView } from "./result.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function runView(state, send) {
  const { device, demo, run, remark } = state;
  return html`
    <section id="run" aria-labelledby="run-title" data-testid="run" data-status=${run.status}>
      <header class="act">
        <p class="act-name">${t("run.act")}</p>
        <h2 id="run-title">${t("run.title")}</h2>
        <p class="fine">${modelLine(state)}</p>
      </header>
      ${device.error ? messageView({ title: t("run.not_now"), severity: "refuse", ...device.error }) : nothing}
      ${remark ? remarkView(remark, send) : nothing} ${pendingView(state.link, send)} ${unfitView(state, send)}
      <div class="card studio">
        ${formView(state, send)}
        <div class="stage">
          ${run.status === "idle" || run.live || run.grid ? nothing : progressView(run, demo, send)}
          ${run.error ? messageView({ title: t("run.no_image"), severity: "refuse", ...run.error }) : nothing}
          ${resultView(state, send)} ${run.live ? liveView(state, send) : nothing}
        </div>
      </div>
      ${gridView(state, send)} ${historyView(state, send)} ${deviceView(state, send)}
    </section>
  `;
}

/** Below the images, whose place it must not move. @param {State} state @param {Send} send */
function liveView({ run, demo }, send) {
  return run.status === "idle" ? nothing : progressView(run, demo, send);
}

/** @param {State} state */
function modelLine({ base, demo }) {
  const { info } = base;
  if (base.chosen !== "demo") {
    return info
      ? t("run.own_line", {
          name: info.name,
          label: info.label,
          width: info.width,
          height: info.height,
          size: millions(info),
        })
      : nothing;
  }
  if (!demo.catalogue) return nothing;
  const { name, files, defaults } = demo.catalogue;
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const size = info ? millions(info) : t("run.lazy", { size: formatBytes(bytes) });
  return t("run.demo_line", { name, width: defaults.width, height: defaults.height, size });
}

/** @param {import("../../engine/types.d.ts").ModelInfo} info */
function millions({ parameters }) {
  return t("run.parameters", { millions: formatFixed(parameters / 1e6, 1) });
}

/** @param {NonNullable<State["remark"]>} remark @param {Send} send */
function remarkView({ kind, severity, title, message, details, image }, send) {
  const list = details.length
    ? html`<ul>
        ${details.map((detail) => html`<li>${detail}</li>`)}
      </ul>`
    : nothing;
  const take = image
    ? html`<p class="offer">
        <img src=${image.url} alt="" width="56" height="56" />
        <button
          class="button small"
          type="button"
          id="start-from"
          @click=${() => send({ type: "start/taken", start: image })}
        >
          ${t("run.start_from")}
        </button>
      </p>`
    : nothing;
  const dismiss = () => send({ type: "remark/made", remark: null });
  return messageView({ kind, severity, title, message, extra: html`${list} ${take}`, dismiss });
}

/** A LoRA for models of another kind is named before it is tried. @param {State} state @param {Send} send */
function unfitView(state, send) {
  const entry = entryById(state, state.selected);
  const { base, demo } = state;
  if (!entry?.report || !demo.catalogue || !usable(entry) || fitsModel(state, entry.report)) return nothing;
  // of the bundled model, as everybody can see
  if (base.chosen !== "demo" && entry.id.startsWith("demo:")) return nothing;
  const look = { severity: /** @type {const} */ ("warn"), kind: "unfit" };
  if (base.chosen !== "demo") {
    const message = t("run.unfit_own", { family: familyName(entry.report.base), label: base.info?.label });
    return messageView({ ...look, title: t("run.unfit_title"), message });
  }
  return messageView({
    ...look,
    title: t("run.unfit_demo"),
    message: t("run.unfit_says", { sizes: sizes(entry.report, demo.catalogue) }),
    extra: html`<p class="downloads">${checkpointButton("pick-fitting", t("run.open_checkpoint"), send)}</p>`,
  });
}

/**
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {import("../../types.d.ts").DemoCatalogue} catalogue
 */
function sizes(report, { text_width, channels }) {
  const width = textWidth(report);
  return width === null || width === text_width
    ? t("run.unfit_channels", { first: firstChannels(report) ?? 0, channels })
    : t("run.unfit_width", { width, text_width });
}
