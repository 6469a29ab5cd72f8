/** The LoRAs of an image, each with its strength: one row by default, more on demand. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { formatFixed } from "../../core/format.js";
import { MOST_STRENGTH } from "../../form.js";
import { loraOptions } from "../../select.js";
import { t } from "../../words.js";
import { checkInto, ends, numberInput, numberInto, settled, starts, textInto } from "../../ui/fields.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Row} Row */
/** @typedef {import("../../types.d.ts").Send} Send */

/**
 * What can be typed; the slider covers what is usual.
 * @type {{ min: number, max: number, step: number, mode: "decimal" }}
 */
const STRENGTHS = { min: -MOST_STRENGTH, max: MOST_STRENGTH, step: 0.05, mode: "decimal" };

/** @param {State} state @param {Send} send */
export function stackView(state, send) {
  const { loras, live: redraws } = state.form;
  const options = loraOptions(state);
  const more = options.demo.length + options.own.length > loras.length && loras.every(({ id }) => id);
  const change = (/** @type {Partial<State["form"]>} */ change) => send({ type: "form/changed", change });
  return html`
    <div class="stack" role="group" aria-label=${t("stack.label")}>
      ${loras.map((row, index) => rowView(row, index, loras, options, send))}
      <div class="more">
        ${
          more
            ? html`<button class="button small" type="button" id="add-lora" @click=${() => send({ type: "row/added" })}>
                ${t("stack.add")}
              </button>`
            : nothing
        }
        ${
          state.result?.with || redraws
            ? html`<label class="check"
                ><input type="checkbox" id="live" .checked=${live(redraws)} @change=${checkInto("live", change)} />
                ${t("stack.live")}</label
              >`
            : nothing
        }
      </div>
      <datalist id="strengths">
        <option value="0"></option>
        <option value="1"></option>
      </datalist>
    </div>
  `;
}

/**
 * The first row's ids have no number. A LoRA that another row has is not offered again.
 * @param {Row} row
 * @param {number} index
 * @param {Row[]} rows
 * @param {ReturnType<typeof loraOptions>} options
 * @param {Send} send
 */
function rowView(row, index, rows, options, send) {
  const suffix = index ? `-${index + 1}` : "";
  const several = rows.length > 1;
  const number = several ? ` ${index + 1}` : "";
  const change = (/** @type {Partial<Row>} */ change) => send({ type: "row/changed", index, change });
  return html`
    <div class="lora ${several ? "one-of-many" : ""}" role="group" aria-label="LoRA${number}" ?data-off=${!row.on}>
      ${loraField(row, number, suffix, rows, options, change)}
      <div class="field">
        <span class="typed">
          <label for="strength${suffix}">${t("stack.strength")}</label>
          ${numberInput(
            `strength-number${suffix}`,
            row.strength,
            STRENGTHS,
            change,
            numberInto("strength", change),
            t("stack.typed", { number }),
          )}
        </span>
        <input
          type="range"
          id="strength${suffix}"
          min="-1"
          max="1.5"
          step="0.05"
          list="strengths"
          ?disabled=${!row.id}
          .value=${live(String(row.strength))}
          @input=${numberInto("strength", change)}
        />
      </div>
      <div class="row-tools">
        ${row.id ? textEncoderView(row, suffix, change) : nothing}
        ${several ? oneOfManyView(row, index, number, send) : nothing}
      </div>
    </div>
  `;
}

/**
 * @param {Row} row
 * @param {string} number
 * @param {string} suffix
 * @param {Row[]} rows
 * @param {ReturnType<typeof loraOptions>} options
 * @param {(change: Partial<Row>) => void} change
 */
function loraField(row, number, suffix, rows, { demo, own }, change) {
  const free = (/** @type {{ id: string }} */ { id }) => id === row.id || !rows.some((other) => other.id === id);
  const option = (/** @type {{ id: string, label: string }} */ { id, label }) =>
    html`<option value=${id} .selected=${live(id === row.id)}>${label}</option>`;
  const shows = demo.find(({ id }) => id === row.id)?.shows;
  return html`<label class="field">
    <span>LoRA${number}</span>
    <select
      id="lora${suffix}"
      aria-describedby="lora-shows${suffix}"
      @change=${(/** @type {Event} */ { target }) => change({ id: /** @type {HTMLSelectElement} */ (target).value })}
    >
      <option value="" .selected=${live(row.id === "")}>${t("stack.none")}</option>
      ${own.length ? html`<optgroup label=${t("stack.own")}>${own.filter(free).map(option)}</optgroup>` : nothing}
      ${demo.length ? html`<optgroup label=${t("stack.demo")}>${demo.filter(free).map(option)}</optgroup>` : nothing}
    </select>
    <span class="fine" id="lora-shows${suffix}">${shows ?? nothing}</span>
  </label>`;
}

/**
 * What only a stack of several needs: switching one off, and taking it away.
 * @param {Row} row
 * @param {number} index
 * @param {string} number
 * @param {Send} send
 */
function oneOfManyView(row, index, number, send) {
  const suffix = index ? `-${index + 1}` : "";
  const change = (/** @type {Partial<Row>} */ change) => send({ type: "row/changed", index, change });
  return html`<label class="check"
      ><input type="checkbox" id="on${suffix}" .checked=${live(row.on)} @change=${checkInto("on", change)} />
      ${t("stack.on")}</label
    >
    <button
      class="quiet"
      type="button"
      id="remove${suffix}"
      aria-label=${t("stack.remove", { number })}
      title=${t("button.remove")}
      @click=${() => send({ type: "row/removed", index })}
    >
      ${cross}
    </button>`;
}

/** @param {Row} row @param {string} suffix @param {(change: Partial<Row>) => void} change */
function textEncoderView({ strength, textEncoder, blocks }, suffix, change) {
  return html`
    <details>
      <summary>
        ${t("stack.more")}
        ${
          textEncoder === null ? nothing : html`<output>${formatFixed(textEncoder)}</output>`
        }${blocks ? ` · ${t("stack.blocks")}` : nothing}
      </summary>
      <label class="field">
        <span
          >${t("stack.te")} <output>${textEncoder === null ? t("stack.same") : formatFixed(textEncoder)}</output></span
        >
        <input
          type="range"
          id="text-encoder${suffix}"
          min="-1"
          max="1.5"
          step="0.05"
          list="strengths"
          .value=${live(String(textEncoder ?? strength))}
          @input=${numberInto("textEncoder", change)}
        />
      </label>
      ${
        textEncoder === null
          ? nothing
          : html`<button class="button small" type="button" @click=${() => change({ textEncoder: null })}>
              ${t("stack.again")}
            </button>`
      }
      <label class="field">
        <span>${t("stack.in_blocks")}</span>
        <input
          type="text"
          id="blocks${suffix}"
          autocomplete="off"
          spellcheck="false"
          placeholder="IN04=0.5,MID=0"
          aria-describedby="blocks-help${suffix}"
          .value=${settled(blocks)}
          @input=${starts}
          @blur=${ends}
          @change=${(/** @type {Event} */ event) => (ends(event), textInto("blocks", change)(event))}
        />
        <span class="fine" id="blocks-help${suffix}">${t("stack.blocks_says")}</span>
      </label>
    </details>
  `;
}
