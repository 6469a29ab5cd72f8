/** Inputs' events -> changes of a form's fields, and the plain number field. */

import { html, noChange, nothing } from "lit-html";
import { Directive, directive } from "lit-html/directive.js";
import { live } from "lit-html/directives/live.js";

/** @typedef {(change: any) => void} Change */

/**
 * The value of an input, but for one that is being typed in (`starts`, `ends`): other news of the page must not undo
 * half a number.
 */
export const settled = directive(
  class extends Directive {
    /** @param {string} value */
    render(value) {
      return value;
    }

    /** @param {import("lit-html/directive.js").PartInfo} part @param {[string]} values */
    update(part, [value]) {
      const { element } = /** @type {import("lit-html").PropertyPart} */ (part);
      const input = /** @type {HTMLInputElement} */ (element);
      if (!typing.has(input) && input.value !== value) input.value = value;
      return noChange;
    }
  },
);

/** @type {WeakSet<EventTarget>} */
const typing = new WeakSet();

export const starts = (/** @type {Event} */ { target }) => void (target && typing.add(target));
export const ends = (/** @type {Event} */ { target }) => void (target && typing.delete(target));

/**
 * @param {string} id
 * @param {number | string} value
 * @param {{ min: number, max: number | string, step: number, mode?: "numeric" | "decimal" }} range
 * @param {Change} change @param {(event: Event) => void} [into] @param {string} [label] where no label is beside it
 */
export function numberInput(
  id,
  value,
  { min, max, step, mode = "numeric" },
  change,
  into = numberInto(id, change),
  label,
) {
  return html`<input
    type="number"
    id=${id}
    aria-label=${label ?? nothing}
    min=${min}
    max=${max}
    step=${step}
    inputmode=${mode}
    .value=${settled(String(value))}
    @input=${starts}
    @blur=${ends}
    @change=${(/** @type {Event} */ event) => (ends(event), into(event))}
  />`;
}

/** @param {string} field @param {Change} change */
export function textInto(field, change) {
  return (/** @type {Event} */ { target }) => change({ [field]: /** @type {HTMLInputElement} */ (target).value });
}

/** An emptied field keeps its last number. @param {string} field @param {Change} change */
export function numberInto(field, change) {
  return (/** @type {Event} */ { target }) => {
    const { valueAsNumber } = /** @type {HTMLInputElement} */ (target);
    change(Number.isNaN(valueAsNumber) ? {} : { [field]: valueAsNumber });
  };
}

/**
 * All digits of a number, which may be more than a JavaScript number has; an emptied field keeps its last one.
 * @param {string} field
 * @param {Change} change
 */
export function digitsInto(field, change) {
  return (/** @type {Event} */ { target }) => {
    const { value } = /** @type {HTMLInputElement} */ (target);
    change(value ? { [field]: value } : {});
  };
}

/** @param {string} field @param {Change} change */
export function checkInto(field, change) {
  return (/** @type {Event} */ { target }) => change({ [field]: /** @type {HTMLInputElement} */ (target).checked });
}

/**
 * Where the browser has a dialogue of its own, whose files it can find again in the next visit, that one opens in the
 * place of an input's.
 * @param {() => void} pick
 * @param {"showOpenFilePicker" | "showDirectoryPicker"} [dialogue]
 */
export function byHandle(pick, dialogue = "showOpenFilePicker") {
  return (/** @type {Event} */ event) => {
    if (!(dialogue in window)) return;
    event.preventDefault();
    pick();
  };
}

/** The one file that was picked; the same can be picked again. @param {(file: File) => void} take */
export function fileInto(take) {
  return (/** @type {Event} */ { target }) => {
    const picker = /** @type {HTMLInputElement} */ (target);
    const file = picker.files?.[0];
    picker.value = "";
    if (file) take(file);
  };
}

/** The chosen files of a picker. @param {(files: File[]) => void} take */
export function filesInto(take) {
  return (/** @type {Event} */ { target }) => {
    const picker = /** @type {HTMLInputElement} */ (target);
    const files = [...(picker.files ?? [])];
    picker.value = "";
    if (files.length) take(files);
  };
}

/**
 * @param {string} name @param {string} field its id as well
 * @param {number} value
 * @param {{ min: number, max: number | string, step: number, mode?: "numeric" | "decimal" }} range
 * @param {Change} change
 */
export function numberField(name, field, value, range, change) {
  return html`<label class="field"><span>${name}</span>${numberInput(field, value, range, change)}</label>`;
}

/**
 * @param {string} name @param {string} field its id as well
 * @param {string} value @param {[value: string, label: string][]} options @param {Change} change
 */
export function choiceField(name, field, value, options, change) {
  return html`<label class="field">
    <span>${name}</span>
    <select id=${field} @change=${textInto(field, change)}>
      ${options.map(([each, label]) => html`<option value=${each} .selected=${live(each === value)}>${label}</option>`)}
    </select>
  </label>`;
}
