/** "Change this file": what is to change, what that means, and the new file. */

import { html, nothing } from "lit-html";
import { asksForSomething, isQuick, newName } from "../state.js";
import { formatBytes } from "../../core/format.js";
import { canChange } from "../../select.js";
import { rich, t, word } from "../../words.js";
import { blocksForm } from "../../inspect/views/blocks.js";
import { convertForm, extractForm, mergeForm, resizeForm } from "./forms.js";
import { check, download } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { metadataForm } from "./metadata-form.js";
import { percent, previewView } from "./preview.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Change} Change */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {(change: Partial<import("../../types.d.ts").ChangeForm>) => void} Edit */

/** @type {import("../../types.d.ts").Section<import("../../engine/types.d.ts").Report>} */
export const changeSection = {
  id: "change",
  title: "section.change",
  late: true,
  of: ({ report }) => (canChange(report) ? report : null),
  from: ({ report, state }) => [state.look.change, state.files, report],
  view: (report, { state, entry, send }) => changeView(state, entry, report, send),
};

/**
 * @param {State} state
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {Send} send
 */
function changeView(state, entry, report, send) {
  const { change } = state.look;
  /** @type {Edit} */
  const edit = (part) => send({ type: "change/edited", change: part });
  const kinds = kindsOf(report);
  return html`
    <section
      class="card change"
      id="change"
      aria-labelledby="change-title"
      data-testid="change"
      data-status=${change.status}
    >
      <div>
        <h3 id="change-title">${t("change.title")}</h3>
        <p class="fine">${t("change.says")}</p>
      </div>
      <div class="segments kinds" role="group" aria-label=${t("change.label")}>
        ${kinds.map(
          (kind) =>
            html`<button
              type="button"
              data-kind=${kind}
              aria-pressed=${kind === change.kind ? "true" : "false"}
              @click=${() => send({ type: "change/opened", kind })}
            >
              ${word("change", kind)}
            </button>`,
        )}
      </div>
      ${
        kinds.includes(change.kind)
          ? html`<p>${word("change_says", change.kind)}</p>
              ${formOf(state, entry, report, edit, send)} ${actionsView(entry.name, change, send)}
              ${outcomeView(change, send)}`
          : nothing
      }
    </section>
  `;
}

/** @param {import("../../engine/types.d.ts").Report} report @returns {import("../../types.d.ts").ChangeKind[]} */
function kindsOf({ container, kind, modules }) {
  const adapter = kind === "adapter" && modules.length > 0;
  const safetensors = container === "safetensors";
  const model = kind === "checkpoint" && safetensors;
  return [
    ...(model ? /** @type {const} */ (["bake", "extract"]) : []),
    ...(adapter ? /** @type {const} */ (["convert", "resize", "blocks", "merge"]) : []),
    ...(safetensors ? /** @type {const} */ (["metadata"]) : /** @type {const} */ (["export"])),
  ];
}

/**
 * @param {State} state
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {Edit} edit
 * @param {Send} send
 */
function formOf(state, entry, report, edit, send) {
  const { kind, form } = state.look.change;
  switch (kind) {
    case "convert":
      return convertForm(form, report, state.files, edit);
    case "resize":
      return resizeForm(form, edit);
    case "blocks":
      return blocksForm(form.strengths, report, (strengths) => edit({ strengths }), send);
    case "metadata":
      return metadataForm(form, report.metadata, edit);
    case "merge":
    case "bake":
      return mergeForm(form, kind, entry, state.files, edit);
    case "extract":
      return extractForm(form, entry, state.files, edit);
    default:
      return nothing;
  }
}

/** @param {string} name @param {Change} change @param {Send} send */
function actionsView(name, change, send) {
  const { status, done } = change;
  const asked = asksForSomething(change);
  const busy = status === "planning" || status === "writing";
  if (busy && !(status === "planning" && isQuick(change))) {
    return html`<div class="progress" data-testid="change-progress">
      <div>
        <p id="change-what">${status === "writing" ? t("change.writing") : t("change.planning")}</p>
        <progress max="1" .value=${done} aria-labelledby="change-what"></progress>
      </div>
      <button class="button" type="button" id="change-stop" @click=${() => send({ type: "change/stop" })}>
        ${t("button.cancel")}
      </button>
    </div>`;
  }
  return html`<div class="change-actions">
    <button
      class="button primary"
      type="button"
      id="change-make"
      aria-disabled=${asked ? "false" : "true"}
      @click=${() => asked && send({ type: "change/make" })}
    >
      ${t("change.make")}
    </button>
    ${
      isQuick(change)
        ? nothing
        : html`<button
            class="button"
            type="button"
            id="change-plan"
            aria-disabled=${asked ? "false" : "true"}
            @click=${() => asked && send({ type: "change/plan" })}
          >
            ${t("change.plan")}
          </button>`
    }
    <span class="fine"
      >${asked ? rich("change.called", { name: html`<bdi>${newName(name, change)}</bdi>` }) : t("change.nothing")}</span
    >
  </div>`;
}

/** The share of all layers' energy that is kept. @param {import("../../engine/types.d.ts").KeptRow[]} rows */
function energyKept(rows) {
  const sum = (/** @type {number[]} */ values) => values.reduce((sum, value) => sum + value * value, 0);
  const all = sum(rows.map(({ norm }) => norm));
  return all > 0 ? 1 - sum(rows.map(({ error }) => error)) / all : 1;
}

/** @param {Change} change @param {Send} send */
function outcomeView({ preview, result, error, status }, send) {
  return html`
    ${
      error
        ? messageView({ title: t("change.failed"), severity: "warn", ...error, message: asSentence(error.message) })
        : nothing
    }
    ${preview ? previewView(preview, status === "made") : nothing}
    ${
      result
        ? html`<div class="made" data-testid="made">
            ${check}
            <div>
              <p>
                ${rich("change.made", {
                  name: html`<strong><bdi>${result.name}</bdi></strong>`,
                  size: formatBytes(result.size),
                })}
              </p>
              ${
                result.kept.length
                  ? html`<p>${t("change.kept", { percent: percent(energyKept(result.kept)) })}</p>`
                  : nothing
              }
              ${result.thinned ? html`<p>${t("change.thinned", { n: result.thinned })}</p>` : nothing}
              <p class="made-actions">
                <button
                  class="button primary"
                  type="button"
                  id="change-save"
                  @click=${() => send({ type: "change/save" })}
                >
                  ${download} ${t("change.save")}
                </button>
                <button class="button" type="button" id="change-look" @click=${() => send({ type: "change/look" })}>
                  ${t("change.look")}
                </button>
              </p>
            </div>
          </div>`
        : nothing
    }
  `;
}

/** @param {string} text */
function asSentence(text) {
  return text.replace(/([^.])$/, "$1.");
}
