/** What can be asked of a file's metadata: words set, keys removed, private things stripped, hashes put right. */

import { html, nothing } from "lit-html";
import { box } from "./forms.js";
import { KNOWN } from "../../inspect/metadata.js";
import { t } from "../../words.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").ChangeForm} Form */
/** @typedef {import("./change.js").Edit} Edit */

const TRIGGER = "modelspec.trigger_phrase";
/** Keys that are offered; any other can be typed. */
const MOST_KEYS = 300;

/** @param {Form} form @param {import("../../engine/types.d.ts").Report["metadata"]} metadata @param {Edit} edit */
export function metadataForm({ set, remove, stripPrivate, repairHashes }, metadata, edit) {
  const trigger = set.find(([key]) => key === TRIGGER)?.[1] ?? metadata[TRIGGER] ?? "";
  return html`<div class="change-form metadata-form">
    <label class="field"
      ><span>${t("training.triggers")}</span>
      <input
        type="text"
        id="meta-trigger"
        .value=${trigger}
        placeholder=${t("meta.trigger_hint")}
        @input=${(/** @type {Event} */ { target }) =>
          edit({ set: withKey(set, TRIGGER, /** @type {HTMLInputElement} */ (target).value) })}
    /></label>
    ${pairsView(set, metadata, edit)}
    <div class="checks">
      ${box("meta-private", t("meta.private"), stripPrivate, (stripPrivate) => edit({ stripPrivate }))}
      ${box("meta-hashes", t("meta.hashes"), repairHashes, (repairHashes) => edit({ repairHashes }))}
    </div>
    ${removeView(remove, Object.keys(metadata), edit)}
    <p class="fine">${t("meta.note")}</p>
  </div>`;
}

/**
 * Entries to set, but for the trigger words.
 * @param {Form["set"]} set
 * @param {import("../../engine/types.d.ts").Report["metadata"]} metadata
 * @param {Edit} edit
 */
function pairsView(set, metadata, edit) {
  const keys = [...new Set([...KNOWN, ...Object.keys(metadata)])].sort().slice(0, MOST_KEYS);
  const others = set.flatMap(([key, value], at) => (key === TRIGGER ? [] : [{ key, value, at }]));
  const put = (/** @type {number} */ at, /** @type {[string, string]} */ pair) => edit({ set: set.with(at, pair) });
  return html`<div class="pairs">
    ${others.map(
      ({ key, value, at }) =>
        html`<div class="pair">
          <input
            type="text"
            list="metadata-keys"
            aria-label=${t("meta.key")}
            placeholder="modelspec.title"
            .value=${key}
            @change=${(/** @type {Event} */ { target }) => {
              const typed = /** @type {HTMLInputElement} */ (target).value.trim();
              put(at, [typed, value || (Object.hasOwn(metadata, typed) ? metadata[typed] : "") || ""]);
            }}
          />
          <input
            type="text"
            aria-label=${t("meta.value_of", { key })}
            placeholder=${t("meta.value")}
            .value=${value}
            @input=${(/** @type {Event} */ { target }) =>
              put(at, [key, /** @type {HTMLInputElement} */ (target).value])}
          />
          <button
            class="quiet"
            type="button"
            aria-label=${t("meta.unset", { key })}
            @click=${() => edit({ set: set.toSpliced(at, 1) })}
          >
            ${cross}
          </button>
        </div>`,
    )}
    <button class="button small" type="button" id="meta-add" @click=${() => edit({ set: [...set, ["", ""]] })}>
      ${t("meta.add")}
    </button>
    <datalist id="metadata-keys">${keys.map((key) => html`<option value=${key}></option>`)}</datalist>
  </div>`;
}

/** Keys to remove. @param {Form["remove"]} remove @param {string[]} keys @param {Edit} edit */
function removeView(remove, keys, edit) {
  if (!keys.length) return nothing;
  return html`<details>
    <summary>${remove.length ? t("meta.remove_n", { n: remove.length }) : t("meta.remove")}</summary>
    <p class="chips">
      ${keys.slice(0, MOST_KEYS).map(
        (key) =>
          html`<button
            class="chip remove"
            type="button"
            aria-pressed=${remove.includes(key) ? "true" : "false"}
            @click=${() =>
              edit({
                remove: remove.includes(key) ? remove.filter((each) => each !== key) : [...remove, key],
              })}
          >
            ${key}
          </button>`,
      )}
    </p>
  </details>`;
}

/** @param {Form["set"]} set @param {string} key @param {string} value @returns {Form["set"]} */
function withKey(set, key, value) {
  const at = set.findIndex(([each]) => each === key);
  return at < 0 ? [[key, value], ...set] : set.with(at, [key, value]);
}
