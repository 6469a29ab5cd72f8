/** Prompt and negative prompt: text areas that grow, with the web UIs' keys and completed names. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { WEIGHT_STEPS, completion, reweighted } from "../prompt.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {"prompt" | "negative"} Field */

/** @param {State} state @param {Send} send */
export function promptView(state, send) {
  const { form, base, demo, tokens } = state;
  const prompts = base.chosen === "demo" ? (demo.catalogue?.prompts ?? []) : [];
  const change = (/** @type {string} */ prompt) => send({ type: "form/changed", change: { prompt } });
  return html`
    <div class="field">
      <label for="prompt">
        ${t("form.prompt")}
        ${
          tokens
            ? html`<output class="fine" id="tokens"
                >${t("form.tokens", { used: tokens.used, room: tokens.room })}</output
              >`
            : nothing
        }
      </label>
      ${areaView("prompt", state, send)}
      ${
        tokens && tokens.used > tokens.room
          ? html`<p class="fine over" role="status">${t("form.cut", { n: tokens.used - tokens.room })}</p>`
          : nothing
      }
    </div>
    ${
      prompts.length
        ? html`<p class="chips" role="group" aria-label=${t("form.prompts")}>
            ${prompts.map(
              (prompt) =>
                html`<button
                  class="chip"
                  type="button"
                  aria-pressed=${prompt === form.prompt ? "true" : "false"}
                  @click=${() => change(prompt)}
                >
                  ${prompt}
                </button>`,
            )}
          </p>`
        : nothing
    }
    <div class="field"><label for="negative">${t("form.negative")}</label>${areaView("negative", state, send)}</div>
  `;
}

/** @param {Field} field @param {State} state @param {Send} send */
function areaView(field, state, send) {
  const open = state.completion?.field === field ? state.completion : null;
  const put = (/** @type {import("../prompt.js").Selected} */ edit) => replace(field, edit, send);
  return html`<div class="completed">
    <textarea
      id=${field}
      rows=${Math.max(field === "prompt" ? 2 : 1, Math.min(12, state.form[field].split("\n").length))}
      autocomplete="off"
      spellcheck="false"
      aria-autocomplete="list"
      aria-controls=${open ? `${field}-names` : nothing}
      aria-activedescendant=${open ? `${field}-name-${open.at}` : nothing}
      .value=${live(state.form[field])}
      @input=${(/** @type {Event} */ { target }) =>
        typed(field, /** @type {HTMLTextAreaElement} */ (target), state, send)}
      @keydown=${(/** @type {KeyboardEvent} */ event) => onKey(field, event, state, send, put)}
      @blur=${() => open && send({ type: "prompt/completion", completion: null })}
    ></textarea>
    ${open ? namesView(field, open, state, put) : nothing}
  </div>`;
}

/**
 * @param {Field} field
 * @param {NonNullable<State["completion"]>} open
 * @param {State} state
 * @param {(edit: import("../prompt.js").Selected) => void} put
 */
function namesView(field, { options, at, ...place }, state, put) {
  return html`<ul class="names" id="${field}-names" role="listbox" aria-label=${t("form.completion")}>
    ${options.map(
      ({ name, text }, index) =>
        html`<li
          id="${field}-name-${index}"
          role="option"
          aria-selected=${index === at ? "true" : "false"}
          @mousedown=${(/** @type {Event} */ event) => (
            event.preventDefault(),
            put(completed(state.form[field], place, text))
          )}
        >
          ${name}
        </li>`,
    )}
  </ul>`;
}

/** @param {Field} field @param {HTMLTextAreaElement} area @param {State} state @param {Send} send */
function typed(field, { value, selectionStart }, state, send) {
  send({ type: "form/changed", change: { [field]: value } });
  const found = completion(state, value, selectionStart);
  if (found || state.completion) send({ type: "prompt/completion", completion: found && { ...found, field } });
}

/**
 * @param {string} text
 * @param {{ from: number, to: number }} place
 * @param {string} name
 * @returns {import("../prompt.js").Selected}
 */
function completed(text, { from, to }, name) {
  const end = from + name.length;
  return { text: text.slice(0, from) + name + text.slice(to), start: end, end };
}

/** @param {Field} field @param {import("../prompt.js").Selected} edit @param {Send} send */
function replace(field, { text, start, end }, send) {
  send({ type: "form/changed", change: { [field]: text } });
  send({ type: "prompt/completion", completion: null });
  send({ type: "prompt/selected", field, text, start, end });
}

/**
 * @param {Field} field
 * @param {KeyboardEvent} event
 * @param {State} state
 * @param {Send} send
 * @param {(edit: import("../prompt.js").Selected) => void} put
 */
function onKey(field, event, state, send, put) {
  const {
    value: text,
    selectionStart: start,
    selectionEnd: end,
    form,
  } = /** @type {HTMLTextAreaElement} */ (event.target);
  const up = event.key === "ArrowUp";
  const open = state.completion?.field === field ? state.completion : null;
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "Enter") form?.requestSubmit();
    else if (up || event.key === "ArrowDown") {
      const step = WEIGHT_STEPS[state.form.program];
      const edit = step ? reweighted({ text, start, end }, up ? step : -step) : null;
      if (edit) put(edit);
      else if (!step) send({ type: "prompt/unweighable" });
    } else return;
  } else if (open && (up || event.key === "ArrowDown")) {
    const at = (open.at + (up ? open.options.length - 1 : 1)) % open.options.length;
    send({ type: "prompt/completion", completion: { ...open, at } });
  } else if (open && (event.key === "Enter" || event.key === "Tab")) {
    put(completed(text, open, open.options[open.at].text));
  } else if (open && event.key === "Escape") {
    send({ type: "prompt/completion", completion: null });
  } else return;
  event.preventDefault();
}
