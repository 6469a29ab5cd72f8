/** What the form becomes by a model, a dropped LoRA or a typed number. Pure. */

import { FIRST_VALUES, ROWS, boundedValue, isValue } from "./generate/options.js";
import { clamp } from "./select.js";

/** @typedef {import("./types.d.ts").Form} Form */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").DemoCatalogue} DemoCatalogue */

/** @type {Row} */
export const EMPTY_ROW = { id: "", on: true, strength: 1, textEncoder: null, blocks: "" };

/** @type {Form} */
export const FIRST_FORM = { ...FIRST_VALUES, loras: [EMPTY_ROW] };

/**
 * The demo's own settings and its first prompt and LoRA.
 * @param {Form} form
 * @param {DemoCatalogue} catalogue
 * @returns {Form}
 */
export function demoForm(form, { prompts, loras, defaults }) {
  const chosen = form.loras.some(({ id }) => id);
  return {
    ...form,
    ...defaults,
    prompt: form.prompt || prompts[0],
    loras: chosen ? form.loras : [{ ...EMPTY_ROW, id: `demo:${loras[0].file}` }],
  };
}

/** The numbers that the demo is usually drawn with. @param {DemoCatalogue} catalogue @returns {Partial<Form>} */
export function demoNumbers({ defaults: { steps, guidance, sampler, width, height } }) {
  return { steps, guidance, sampler, width, height };
}

/**
 * The numbers that a model is usually drawn with.
 * @param {import("./engine/types.d.ts").ModelInfo} info
 * @returns {Partial<Form>}
 */
export function usualNumbers({ samplers, width, height }) {
  return { steps: 20, guidance: 7, sampler: samplers.includes("dpmpp_2m") ? "dpmpp_2m" : samplers[0], width, height };
}

/**
 * Numbers that nobody has touched since the last model go over to those of the next.
 * @param {Form} form @param {Partial<Form>} last @param {Partial<Form>} next @returns {Form}
 */
export function followed(form, last, next) {
  const untouched = Object.entries(next).filter(
    ([key]) => form[/** @type {keyof Form} */ (key)] === last[/** @type {keyof Form} */ (key)],
  );
  return { ...form, ...Object.fromEntries(untouched) };
}

/**
 * A stack of one takes the LoRA in its only row; a larger one is the visitor's own work and stays.
 * @param {Form} form
 * @param {string} id
 * @returns {Form}
 */
export function withLora(form, id) {
  if (form.loras.length > 1) return form;
  return { ...form, loras: [{ ...(form.loras[0] ?? EMPTY_ROW), id, on: true }] };
}

/** The largest strength of a LoRA, either way. */
export const MOST_STRENGTH = 20;

/** @param {Form} form @param {number} index @param {Partial<Row>} change @returns {Form} */
export function withRow(form, index, change) {
  return { ...form, loras: form.loras.map((row, at) => (at === index ? checkedRow({ ...row, ...change }) : row)) };
}

/** @param {Row} row @returns {Row} */
export function checkedRow(row) {
  const bounded = (/** @type {number} */ strength) => clamp(strength, -MOST_STRENGTH, MOST_STRENGTH);
  return {
    ...row,
    strength: bounded(row.strength),
    textEncoder: row.textEncoder === null ? null : bounded(row.textEncoder),
  };
}

/** The last row is emptied, not taken away. @param {Form} form @param {number} index @returns {Form} */
export function withoutRow(form, index) {
  const loras = form.loras.filter((_, at) => at !== index);
  return { ...form, loras: loras.length ? loras : [EMPTY_ROW] };
}

/**
 * A form that was kept: what an option can be is taken, the rest is the first form's.
 * @param {unknown} kept
 * @returns {Form}
 */
export function storedForm(kept) {
  const given = /** @type {Record<string, unknown>} */ (typeof kept === "object" && kept ? kept : {});
  const fits = ROWS.filter((row) => Object.hasOwn(given, row.id) && isValue(row, given[row.id]));
  const rows = Array.isArray(given.loras)
    ? given.loras.filter((row) => typeof row?.id === "string" && row.id.startsWith("demo:"))
    : [];
  const loras = rows.length ? rows.map((row) => checkedRow({ ...EMPTY_ROW, ...row })) : [EMPTY_ROW];
  return checkedForm({ ...FIRST_FORM, ...Object.fromEntries(fits.map(({ id }) => [id, given[id]])), loras }, 1);
}

/**
 * Every number within its bounds, whatever was typed.
 * @param {Form} form
 * @param {number} multiple of width and height
 * @returns {Form}
 */
export function checkedForm(form, multiple) {
  return { ...form, ...Object.fromEntries(ROWS.map((row) => [row.id, boundedValue(row, form[row.id], multiple)])) };
}
