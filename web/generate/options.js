/**
 * The options of an image, one row each: what the form, its check, recipes, links, restored images and grids do with
 * one follows from its row. LoRAs have rows of their own (form.js). Pure.
 */

import { choice, engineName, flag, number, orNull, pair, record, text, whole } from "../share/checks.js";
import { clamp, upscalers } from "../select.js";
import { t, word } from "../words.js";
import { MOST_SEED, RANDOM_SEED, seedOf } from "./seed.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Form} Form */
/** @typedef {import("../words.js").Key} Key */
/** @typedef {import("../share/checks.js").Check} Check */
/** @typedef {import("../engine/types.d.ts").Recipe} Recipe */
/** @typedef {Exclude<keyof Form, "loras">} OptionId an option's field in the form, and the id of its control */
/** @typedef {"numbers" | "mask" | "advanced"} Place a part of the form */

/** @typedef {(state: State) => [value: string, name: string][]} Choices */

/**
 * A row. What is drawn and asked in its own way needs no `place`, or a view in generate/views/.
 * @template {OptionId} Id
 * @typedef {object} Option
 * @property {Form[Id]} first the first value, with which a recipe does not mention the option
 * @property {Key} label
 * @property {Key | ((form: Form, state: State) => Key | null)} [says] a sentence below the control
 * @property {Place} [place] where its control is, in the order of the rows
 * @property {boolean} [wide] whether its control takes a row of the form
 * @property {(state: State) => boolean} [when] there is such an option; always if it is left out
 * @property {number} [min] of a number
 * @property {number | string} [max]
 * @property {number} [step] 1 for whole numbers
 * @property {(form: Form) => number} [usual] what a number is while it is null
 * @property {(value: Form[Id], multiple: number) => Form[Id]} [bounded] the nearest usable value, if the bounds do not
 * say it
 * @property {Form[Id] extends string ? Record<Form[Id], Key> | Choices : never} [choices] values and their names
 * @property {keyof Recipe} [field] of recipes, links and drafts; the page alone knows an option without one
 * @property {Check} [check] of that field from outside, if it is not one of the choices or a flag
 * @property {boolean} [needed] recipes always mention it, and a draft that does not leaves it as it is
 * @property {(value: Form[Id], state: State) => unknown} [write] the field's value; undefined to leave it out
 * @property {(said: any) => Partial<Form>} [read] the form's values from the field's
 * @property {string | true} [axis] grids can vary it: a number from these values on, a choice from its first ones
 */

/** @type {Record<NonNullable<Recipe["schedule"]>, true>} */
const SCHEDULES = {
  ...{ timesteps: true, karras: true, exponential: true, sgm_uniform: true, simple: true, beta: true, ays: true },
  ...{ polyexponential: true, kl_optimal: true, ddim_uniform: true, linear_quadratic: true, turbo: true, ays11: true },
  ...{ ays32: true, ays_gits: true },
};

/** @typedef {NonNullable<Recipe["hires"]>} Hires */
/** @type {Record<keyof Hires, Check>} */
const HIRES = {
  scale: number(1, 8),
  denoise: number(0, 1),
  steps: whole(0, 1000),
  upscaler: choice(["latent", "pixels"]),
  network: text(300),
};

/** @type {Check} */
export const seed = (value) => (/^\d{1,20}$/.test(String(value)) ? seedOf(String(value)) : undefined);

/** @type {Record<keyof NonNullable<Recipe["variation"]>, Check>} */
const VARIATION = { seed, strength: number(0, 1) };

/** @type {Record<keyof NonNullable<Recipe["masked_area"]>, Check>} */
const MASKED_AREA = { padding: whole(0, 1024), blur: whole(0, 256) };

const setting = number(0, 1e6);
/** A1111's settings. @type {Record<keyof NonNullable<Recipe["web_ui"]>, Check>} */
const WEB_UI = {
  noise_seed_delta: whole(-(2 ** 53), 2 ** 53),
  ...{ discard_penultimate: flag, sgm_noise_multiplier: flag, quantize: flag },
  ...{ s_churn: setting, s_tmin: setting, s_tmax: setting, s_noise: setting },
  ...{ sigma_min: setting, sigma_max: setting, rho: setting, beta_alpha: setting, beta_beta: setting },
  ...{ extra_noise: setting, min_sigma_of_guidance: setting, skip_early_guidance: setting },
};

const RNG_SAYS = /** @type {const} */ ({
  torch: "advanced.torch_says",
  philox: "advanced.philox_says",
  torch_philox: "advanced.torch_philox_says",
});

const isA1111 = (/** @type {State} */ { form }) => form.program === "a1111";
const isMasked = (/** @type {State} */ { start, mask }) => start !== null && mask !== null;
const isAreaMasked = (/** @type {State} */ state) => isMasked(state) && state.form.onlyMasked;
const isSecondPass = (/** @type {State} */ { form }) => form.hires !== "";
/** Whether the result is pasted into the image through a blurred mask: "Only masked", and always as A1111 draws. */
const isPasted = (/** @type {State} */ state) =>
  isAreaMasked(state) || (isMasked(state) && isA1111(state) && !isSecondPass(state));

/** The largest width and height. */
export const MOST_PIXELS = 2048;

/** The nearest size in pixels that a model can draw. @param {number} size @param {number} multiple */
function pixels(size, multiple) {
  return multiple * Math.max(1, Math.round(clamp(size, multiple, MOST_PIXELS) / multiple));
}

/** @satisfies {{ [Id in OptionId]: Option<Id> }} */
export const OPTIONS = {
  prompt: { first: "", label: "form.prompt", field: "prompt", check: text(), needed: true },
  negative: {
    ...{ first: "", label: "form.negative", field: "negative", check: orNull(text()) },
    // The web UIs know no missing negative prompt, diffusers tells it from an empty one.
    write: (negative, { form }) => negative || (form.program === "diffusers" ? null : ""),
  },
  width: {
    ...{ first: 512, label: "form.width", place: "numbers", field: "width", check: whole(8, 8192), needed: true },
    write: (width, { base, demo }) => (base.chosen === "demo" ? demo.catalogue?.defaults.width : width),
    bounded: pixels,
  },
  height: {
    ...{ first: 512, label: "form.height", place: "numbers", field: "height", check: whole(8, 8192), needed: true },
    write: (height, { base, demo }) => (base.chosen === "demo" ? demo.catalogue?.defaults.height : height),
    bounded: pixels,
  },
  seed: {
    ...{ first: 1, label: "form.seed", place: "numbers", field: "seed", check: seed, needed: true },
    ...{ min: RANDOM_SEED, max: MOST_SEED, step: 1, axis: "0, 1, 2, 3" },
    bounded: (typed) => (Number(typed) === RANDOM_SEED ? RANDOM_SEED : seedOf(typed)),
  },
  steps: {
    ...{ first: 20, label: "form.steps", place: "numbers", min: 1, max: 100, step: 1 },
    ...{ field: "steps", check: whole(1, 1000), needed: true, axis: "4, 8, 16" },
  },
  guidance: {
    ...{ first: 5, label: "form.guidance", place: "numbers", min: 0, max: 30, step: 0.5 },
    ...{ field: "guidance", check: number(0, 100), needed: true, axis: "1, 3, 5, 8" },
  },
  sampler: {
    ...{ first: "", label: "form.sampler", place: "numbers", choices: samplers, axis: true },
    ...{ field: "sampler", check: engineName, needed: true },
  },
  batch: { first: 1, label: "form.batch", place: "numbers", min: 1, max: 100, step: 1 },
  denoise: {
    ...{ first: 0.6, label: "start.change", when: ({ start }) => start !== null, min: 0, max: 1, step: 0.05 },
    ...{ field: "denoise", check: orNull(number(0, 1)), needed: true, axis: "0.3, 0.5, 0.7, 0.9" },
  },
  onlyMasked: {
    ...{ first: false, label: "mask.only", says: "mask.only_says", place: "mask", when: isMasked },
    ...{ field: "masked_area", check: record(MASKED_AREA, ["blur"]) },
    write: (only, state) => {
      const { maskPadding: padding, maskBlur: blur } = state.form;
      return only ? { padding, blur } : isPasted(state) ? { blur } : undefined;
    },
    read: ({ padding, blur }) => ({
      ...(padding === undefined ? { onlyMasked: false } : { onlyMasked: true, maskPadding: padding }),
      maskBlur: blur,
    }),
  },
  maskPadding: {
    ...{ first: 32, label: "mask.padding", place: "mask", when: isAreaMasked, min: 0, max: 256, step: 1 },
  },
  maskBlur: { first: 4, label: "mask.blur", place: "mask", when: isPasted, min: 0, max: 64, step: 1 },
  schedule: {
    ...{ first: "", label: "advanced.schedule", place: "advanced", choices: schedules, axis: true },
    ...{ field: "schedule", check: choice(Object.keys(SCHEDULES)) },
  },
  spacing: {
    ...{ first: "", label: "advanced.spacing", place: "advanced", field: "spacing" },
    choices: {
      "": "option.models",
      leading: "option.leading",
      linspace: "option.linspace",
      trailing: "option.trailing",
    },
  },
  rng: {
    ...{ first: "torch", label: "advanced.noise", place: "advanced", wide: true, field: "rng" },
    choices: { torch: "advanced.torch", philox: "advanced.philox", torch_philox: "advanced.torch_philox" },
    says: ({ rng }) => RNG_SAYS[rng],
  },
  program: {
    ...{ first: "diffusers", label: "advanced.program", place: "advanced", wide: true, field: "program" },
    choices: { diffusers: "option.diffusers", a1111: "option.a1111", comfyui: "option.comfyui" },
    says: ({ program }) => (program === "diffusers" ? "advanced.diffusers_says" : "advanced.web_ui_says"),
  },
  eta: {
    ...{ first: null, label: "advanced.eta", says: "advanced.eta_says", place: "advanced", min: 0, max: 1, step: 0.05 },
    ...{ field: "eta", check: number(0, 10), axis: "0, 0.5, 1" },
    when: ({ base, form }) => base.info?.fresh.includes(form.sampler) ?? false,
    usual: ({ sampler }) => (["ddim", "ddim_cfg_pp", "tcd"].includes(sampler) ? 0 : 1),
  },
  prediction: {
    ...{ first: "", label: "advanced.prediction", place: "advanced", field: "prediction" },
    choices: {
      "": "option.models",
      epsilon: "option.epsilon",
      v_prediction: "option.v_prediction",
      sample: "option.sample",
    },
  },
  zeroSnr: {
    ...{ first: "", label: "advanced.zero_snr", place: "advanced", field: "zero_snr", check: flag },
    choices: { "": "option.models", on: "option.on", off: "option.off" },
    write: (zeroSnr) => (zeroSnr ? zeroSnr === "on" : undefined),
    read: (isOn) => ({ zeroSnr: isOn ? "on" : "off" }),
  },
  guidanceRescale: {
    ...{ first: 0, label: "advanced.rescale", says: "advanced.rescale_says", place: "advanced" },
    ...{ min: 0, max: 1, step: 0.05, field: "guidance_rescale", check: number(0, 1), axis: "0, 0.3, 0.5, 0.7" },
  },
  emphasis: {
    ...{ first: "original", label: "advanced.emphasis", place: "advanced", when: isA1111, field: "emphasis" },
    choices: { original: "option.original", no_norm: "option.no_norm", ignore: "option.ignore", none: "option.none" },
  },
  padConds: { first: false, label: "advanced.pad_conds", place: "advanced", when: isA1111, field: "pad_conds" },
  webUi: {
    ...{ first: null, label: "advanced.carried", place: "advanced", when: isA1111 },
    ...{ field: "web_ui", check: record(WEB_UI) },
  },
  variation: {
    ...{ first: null, label: "advanced.carried", when: isA1111 },
    ...{ field: "variation", check: record(VARIATION, ["seed", "strength"]) },
  },
  seedResize: {
    ...{ first: null, label: "advanced.carried", when: isA1111 },
    ...{ field: "seed_resize", check: pair(whole(0, 8192)) },
  },
  hires: {
    ...{ first: "", label: "advanced.hires", place: "advanced", wide: true, choices: enlargers, says: enlargerSays },
    ...{ field: "hires", check: orNull(record(HIRES, ["scale", "denoise"])) },
    write: secondPass,
    read: (/** @type {Hires} */ hires) => ({
      hires: hires.network ?? hires.upscaler ?? "latent",
      hiresScale: hires.scale,
      hiresDenoise: hires.denoise,
      hiresSteps: hires.steps ?? 0,
    }),
  },
  hiresScale: {
    ...{ first: 1.5, label: "advanced.times", place: "advanced", when: isSecondPass, min: 1.05, max: 4, step: 0.05 },
  },
  hiresDenoise: {
    ...{ first: 0.6, label: "advanced.change", place: "advanced", when: isSecondPass, min: 0, max: 1, step: 0.05 },
  },
  hiresSteps: {
    ...{ first: 0, label: "advanced.pass_steps", says: "advanced.pass_steps_says", place: "advanced" },
    ...{ when: isSecondPass, min: 0, max: 100, step: 1 },
  },
  preview: { first: true, label: "advanced.preview", place: "advanced" },
  clipSkip: {
    ...{ first: 1, label: "advanced.clip_skip", says: "advanced.clip_says", place: "advanced" },
    ...{ min: 1, max: 12, step: 1, field: "clip_skip", check: whole(0, 12), axis: "1, 2" },
    write: (clipSkip) => (clipSkip > 1 ? clipSkip - 1 : undefined),
    read: (skipped) => ({ clipSkip: skipped + 1 }),
  },
  live: { first: false, label: "stack.live" },
};

/** @typedef {(typeof OPTIONS)[OptionId]} Row */
/** @typedef {Row extends infer R ? (R extends { field: infer Field } ? Field : never) : never} OptionField */

/**
 * A row whose values may be of any type.
 * @typedef {Omit<Option<any>, "first" | "choices" | "bounded" | "write"> & {
 *   id: OptionId, first: any, bounded?: (value: any, multiple: number) => any,
 *   choices?: Record<string, Key> | Choices, write?: (value: any, state: State) => unknown,
 * }} AnyOption
 */

/** The rows in their order. @type {AnyOption[]} */
export const ROWS = Object.entries(OPTIONS).map(([id, row]) => ({ .../** @type {any} */ (row), id }));

/** The first value of each option. */
export const FIRST_VALUES = /** @type {Omit<Form, "loras">} */ (
  Object.fromEntries(ROWS.map(({ id, first }) => [id, first]))
);

/** The check of each field that an option has in recipes. */
export const OPTION_CHECKS = /** @type {Record<OptionField, Check>} */ (
  Object.fromEntries(ROWS.flatMap((row) => (row.field ? [[row.field, row.check ?? usualCheck(row)]] : [])))
);

/** @param {AnyOption} row */
function usualCheck({ first, choices = {} }) {
  return typeof first === "boolean" ? flag : choice(Object.keys(choices).filter(Boolean));
}

/** Fields of recipes whose values are any text, so that links carry them as they are. */
export const TEXT_FIELDS = ROWS.flatMap(({ first, choices, field = "" }) => (first === "" && !choices ? [field] : []));

/**
 * The values of a choice and their names.
 * @param {AnyOption} row @param {State} state @returns {[value: string, name: string][]}
 */
export function choicesOf({ choices = {} }, state) {
  if (typeof choices === "function") return choices(state);
  return Object.entries(choices).map(([value, label]) => [value, t(label)]);
}

/** The nearest usable value. @param {AnyOption} row @param {any} value @param {number} multiple of width and height */
export function boundedValue({ bounded, min, max, step, first }, value, multiple) {
  if (bounded) return bounded(value, multiple);
  if (step === undefined || value === first) return value;
  const within = clamp(value, Number(min), Number(max));
  return step === 1 ? Math.trunc(within) : within;
}

/** Whether a value that was kept is one that the option can have. @param {AnyOption} row @param {unknown} value */
export function isValue({ id, first, choices, step, check }, value) {
  if (choices && typeof choices !== "function") return typeof value === "string" && Object.hasOwn(choices, value);
  if (value === first || (id === "seed" && typeof value === "string")) return true;
  if (step !== undefined) return typeof value === "number";
  return first === null ? check?.(value) !== undefined : typeof value === typeof first;
}

/** What the form says in a recipe, without the LoRAs. @param {State} state @returns {Partial<Recipe>} */
export function writtenOptions(state) {
  const fields = ROWS.flatMap(({ id, first, field, needed, when, write }) => {
    const value = state.form[id];
    if (!field || when?.(state) === false || (!write && !needed && value === first)) return [];
    const written = write ? write(value, state) : value;
    return written === undefined ? [] : [[field, written]];
  });
  return Object.fromEntries(fields);
}

/**
 * The form's values from what a recipe or a draft says, by the names of a recipe's fields.
 * @param {Partial<Record<keyof Recipe, unknown>>} said
 * @returns {Partial<Form>}
 */
export function readOptions(said) {
  return Object.assign(
    {},
    ...ROWS.map(({ id, first, field, needed, read }) => {
      const value = field && (said[field] ?? undefined);
      if (value === undefined) return field && !needed ? { [id]: first } : {};
      return read ? read(value) : { [id]: value };
    }),
  );
}

/** The model's samplers that the program has, and the chosen one. @param {State} state @returns {[string, string][]} */
function samplers({ form: { program, sampler }, base: { info } }) {
  const missing = program === "diffusers" ? (info?.web_ui_samplers ?? []) : [];
  const offered = info?.samplers.filter((name) => name === sampler || !missing.includes(name));
  return (offered ?? (sampler ? [sampler] : [])).map((name) => [name, word("sampler", name)]);
}

/**
 * The schedule types of the program; before a model is open, only the chosen one.
 * @param {State} state @returns {[string, string][]}
 */
function schedules({ form: { program, schedule }, base: { info } }) {
  const offered = info?.schedules.filter(({ is_web_ui_only }) => program !== "diffusers" || !is_web_ui_only);
  const names = offered?.map(({ name, label }) => [name, label]) ?? (schedule ? [[schedule, schedule]] : []);
  return /** @type {[string, string][]} */ ([["", t("option.models")], ...names]);
}

/**
 * What a second pass can make larger: latents, pixels, or pixels by an opened upscaler.
 * @param {State} state @returns {[string, string][]}
 */
function enlargers(state) {
  const { hires } = state.form;
  const names = new Set([...upscalers(state), ...(isNetwork(hires) ? [hires] : [])]);
  return [
    ["", t("option.none")],
    ["latent", t("advanced.latent")],
    ["pixels", t("advanced.pixels")],
    ...[...names].map((name) => /** @type {[string, string]} */ ([name, name])),
  ];
}

/** @param {string} hires */
const isNetwork = (hires) => !["", "latent", "pixels"].includes(hires);

/** @param {Form} form @param {State} state @returns {Key | null} */
function enlargerSays({ hires }, state) {
  if (!hires) return null;
  if (isNetwork(hires)) return upscalers(state).includes(hires) ? "advanced.network_says" : "advanced.no_network";
  return hires === "latent" ? "advanced.latent_says" : "advanced.pixels_says";
}

/**
 * A second pass; pixels are interpolated while the upscaler of this name is not open.
 * @param {string} hires @param {State} state @returns {Hires | undefined}
 */
function secondPass(hires, state) {
  if (!hires) return undefined;
  const { hiresScale: scale, hiresDenoise: denoise, hiresSteps: steps } = state.form;
  return {
    ...{ scale, denoise },
    upscaler: hires === "latent" ? "latent" : "pixels",
    ...(upscalers(state).includes(hires) && { network: hires }),
    ...(steps && { steps }),
  };
}
