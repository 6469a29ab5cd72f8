/** What the form becomes by a model, a dropped LoRA or a typed number. Pure. */

import { clamp } from "./select.js";

/** @typedef {import("./types.d.ts").Form} Form */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./types.d.ts").DemoCatalogue} DemoCatalogue */

/** @type {Row} */
export const EMPTY_ROW = { id: "", on: true, strength: 1, textEncoder: null, blocks: "" };

/** @type {Form} */
export const FIRST_FORM = {
  prompt: "",
  negative: "",
  seed: 1,
  steps: 20,
  guidance: 5,
  sampler: "",
  loras: [EMPTY_ROW],
  width: 512,
  height: 512,
  schedule: "",
  spacing: "",
  rng: "torch",
  program: "diffusers",
  clipSkip: 1,
  emphasis: "original",
  padConds: false,
  prediction: "",
  zeroSnr: "",
  guidanceRescale: 0,
  carried: {},
  denoise: 0.6,
  eta: null,
  hires: "",
  hiresScale: 1.5,
  hiresDenoise: 0.6,
  hiresSteps: 0,
  preview: true,
  live: false,
  batch: 1,
};

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

/** The seed of a form that takes another one with each run, as in the web UIs. */
export const RANDOM_SEED = -1;

/** The largest seed: PyTorch takes 64 bits. */
export const MOST_SEED = "18446744073709551615";

/**
 * A seed as recipes have it: a number up to 2^53 - 1, its digits above.
 * @param {number | string} typed
 * @returns {Form["seed"]}
 */
export function seedOf(typed) {
  const text = String(typed).trim();
  if (!/^\d+$/.test(text)) return Math.trunc(clamp(Number(text), 0, Number.MAX_SAFE_INTEGER));
  const seed = BigInt(text) > BigInt(MOST_SEED) ? BigInt(MOST_SEED) : BigInt(text);
  return seed <= Number.MAX_SAFE_INTEGER ? Number(seed) : String(seed);
}

/** The seed of a later image of a batch: each has the next one. @param {Form["seed"]} seed @param {number} at */
export function laterSeed(seed, at) {
  return at ? seedOf(String(BigInt(seed) + BigInt(at))) : seed;
}

/**
 * A form that was kept: what has the type of its field is taken, the rest is the first form's.
 * @param {unknown} kept
 * @returns {Form}
 */
export function storedForm(kept) {
  const given = /** @type {Record<string, unknown>} */ (typeof kept === "object" && kept ? kept : {});
  const fits = Object.entries(FIRST_FORM).filter(
    ([name, first]) =>
      typeof given[name] === typeof first ||
      (name === "eta" && typeof given.eta === "number") ||
      (name === "seed" && typeof given.seed === "string"),
  );
  const form = /** @type {Form} */ ({
    ...FIRST_FORM,
    ...Object.fromEntries(fits.map(([name]) => [name, given[name]])),
  });
  const rows = Array.isArray(form.loras)
    ? form.loras.filter((row) => typeof row?.id === "string" && row.id.startsWith("demo:"))
    : [];
  return checkedForm(
    { ...form, loras: rows.length ? rows.map((row) => checkedRow({ ...EMPTY_ROW, ...row })) : [EMPTY_ROW] },
    1,
  );
}

/**
 * Every number within its bounds, whatever was typed.
 * @param {Form} form
 * @param {number} multiple of width and height
 * @returns {Form}
 */
export function checkedForm(form, multiple) {
  const pixels = (/** @type {number} */ size) =>
    multiple * Math.max(1, Math.round(clamp(size, multiple, 2048) / multiple));
  return {
    ...form,
    seed: Number(form.seed) === RANDOM_SEED ? RANDOM_SEED : seedOf(form.seed),
    batch: Math.trunc(clamp(form.batch, 1, 100)),
    steps: Math.trunc(clamp(form.steps, 1, 100)),
    guidance: clamp(form.guidance, 0, 30),
    width: pixels(form.width),
    height: pixels(form.height),
    guidanceRescale: clamp(form.guidanceRescale, 0, 1),
    clipSkip: Math.trunc(clamp(form.clipSkip, 1, 12)),
    denoise: clamp(form.denoise, 0, 1),
    eta: form.eta === null ? null : clamp(form.eta, 0, 1),
    hiresScale: clamp(form.hiresScale, 1.05, 4),
    hiresDenoise: clamp(form.hiresDenoise, 0, 1),
    hiresSteps: Math.trunc(clamp(form.hiresSteps, 0, 100)),
  };
}
