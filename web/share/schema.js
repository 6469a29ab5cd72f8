/**
 * The schema of recipes from outside: any value gives a recipe that the form can hold, and what was not usable. Pure.
 */

import { MOST_STRENGTH, seedOf } from "../form.js";

/** @typedef {import("../engine/types.d.ts").Recipe} Recipe */
/**
 * @typedef {import("../engine/types.d.ts").AdapterChoice & { address?: string }} LinkedAdapter `address`: where it lies
 * on the web
 */
/** @typedef {Omit<Recipe, "adapters"> & { adapters: LinkedAdapter[] }} LinkedRecipe */
/** The value as it is used; undefined for one that is not usable. @typedef {(value: unknown) => unknown} Check */
/**
 * A setting that is left out, and the value that it had, cut short.
 * @typedef {{ name: string, value: string }} Unusable
 */

/** Characters of a prompt, and entries of a list, that are read at most. */
const MOST_TEXT = 20_000;
const MOST_ENTRIES = 64;

/** What a link or an image may leave out. @type {LinkedRecipe} */
export const USUAL = {
  version: 1,
  model: "",
  adapters: [],
  prompt: "",
  negative: null,
  seed: 0,
  steps: 20,
  guidance: 7,
  sampler: "ddim",
  width: 512,
  height: 512,
};

/** @type {(most?: number) => Check} */
const text =
  (most = MOST_TEXT) =>
  (value) =>
    typeof value === "string" && value.length <= most ? value : undefined;
/** @type {(least: number, most: number) => Check} */
const number = (least, most) => (value) =>
  typeof value === "number" && value >= least && value <= most ? value : undefined;
/** @type {(least: number, most: number) => Check} */
const whole = (least, most) => (value) => (Number.isInteger(value) ? number(least, most)(value) : undefined);
/** @type {Check} */
const flag = (value) => (typeof value === "boolean" ? value : undefined);
/** @type {(choices: Record<string, true>) => Check} */
const choice = (choices) => (value) => (typeof value === "string" && Object.hasOwn(choices, value) ? value : undefined);
/** @type {(check: Check) => Check} */
const orNull = (check) => (value) => (value === null ? null : check(value));
/** @type {(check: Check) => Check} */
const list = (check) => (value) => {
  const checked = Array.isArray(value) && value.length <= MOST_ENTRIES ? value.map(check) : [undefined];
  return checked.includes(undefined) ? undefined : checked;
};
/** @type {(check: Check) => Check} */
const pair = (check) => (value) => (Array.isArray(value) && value.length === 2 ? list(check)(value) : undefined);
/**
 * Fields that are not usable are left out; those in `needed` are not.
 * @type {(fields: Record<string, Check>, needed?: string[]) => Check}
 */
const record =
  (fields, needed = []) =>
  (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const found = Object.entries(fields).flatMap(([name, check]) => {
      const checked = Object.hasOwn(value, name)
        ? check(/** @type {Record<string, unknown>} */ (value)[name])
        : undefined;
      return checked === undefined ? [] : [[name, checked]];
    });
    return needed.every((name) => found.some(([each]) => each === name)) ? Object.fromEntries(found) : undefined;
  };

/** @type {Check} */
const seed = (value) => (/^\d{1,20}$/.test(String(value)) ? seedOf(String(value)) : undefined);
/** A name of the engine's: the model that is opened says whether it has it. @type {Check} */
const engineName = (value) => (typeof value === "string" && /^[a-z0-9_]{1,40}$/.test(value) ? value : undefined);
/** @type {Check} */
const hash = (value) => (typeof value === "string" && /^[0-9a-f]{0,64}$/.test(value) ? value : undefined);
/** @type {Check} */
const address = (value) =>
  typeof value === "string" && value.length < 2000 && /^https?:\/\//i.test(value) ? value : undefined;
/** @type {Check} */
const strength = number(-MOST_STRENGTH, MOST_STRENGTH);

/** @type {Record<NonNullable<Recipe["schedule"]>, true>} */
const SCHEDULES = {
  timesteps: true,
  karras: true,
  exponential: true,
  sgm_uniform: true,
  simple: true,
  beta: true,
  ays: true,
  polyexponential: true,
  kl_optimal: true,
  ddim_uniform: true,
  linear_quadratic: true,
  turbo: true,
  ays11: true,
  ays32: true,
  ays_gits: true,
};

/** Choices and parts of a recipe: what the engine gets anew does not compile until it stands here. */
/** @type {Record<NonNullable<Recipe["spacing"]>, true>} */
const SPACINGS = { leading: true, linspace: true, trailing: true };
/** @type {Record<NonNullable<Recipe["rng"]>, true>} */
const RNGS = { torch: true, philox: true, torch_philox: true };
/** @type {Record<NonNullable<Recipe["program"]>, true>} */
const PROGRAMS = { diffusers: true, a1111: true, comfyui: true };
/** @type {Record<NonNullable<Recipe["emphasis"]>, true>} */
const EMPHASES = { original: true, no_norm: true, ignore: true, none: true };
/** @type {Record<NonNullable<Recipe["prediction"]>, true>} */
const PREDICTIONS = { epsilon: true, v_prediction: true, sample: true };
/** @type {Record<NonNullable<Hires["upscaler"]>, true>} */
const UPSCALERS = { latent: true, pixels: true };

/** @typedef {NonNullable<Recipe["hires"]>} Hires */
/** @type {Record<keyof Hires, Check>} */
const HIRES = {
  scale: number(1, 8),
  denoise: number(0, 1),
  steps: whole(0, 1000),
  upscaler: choice(UPSCALERS),
  network: text(300),
};
/** @type {Record<keyof NonNullable<Recipe["variation"]>, Check>} */
const VARIATION = { seed, strength: number(0, 1) };
/** @type {Record<keyof NonNullable<Recipe["embeddings"]>[number], Check>} */
const EMBEDDING = { name: text(300), sha256: hash };
/** @type {Record<keyof LinkedAdapter, Check>} */
const ADAPTER = {
  ...{ name: text(300), sha256: hash, strength, text_encoder: strength, blocks: text(2000), hash, address },
};

const setting = number(0, 1e6);
/** A1111's settings. @type {Record<keyof NonNullable<Recipe["web_ui"]>, Check>} */
const WEB_UI = {
  noise_seed_delta: whole(-(2 ** 53), 2 ** 53),
  ...{ discard_penultimate: flag, sgm_noise_multiplier: flag, quantize: flag },
  ...{ s_churn: setting, s_tmin: setting, s_tmax: setting, s_noise: setting },
  ...{ sigma_min: setting, sigma_max: setting, rho: setting, beta_alpha: setting, beta_beta: setting },
  ...{ extra_noise: setting, min_sigma_of_guidance: setting, skip_early_guidance: setting },
};

/** Every field of a recipe: a new one does not compile until it has a check. @type {Record<keyof Recipe, Check>} */
export const FIELDS = {
  version: whole(1, 1),
  model: text(300),
  prompt: text(),
  negative: orNull(text()),
  seed,
  steps: whole(1, 1000),
  guidance: number(0, 100),
  sampler: engineName,
  width: whole(8, 8192),
  height: whole(8, 8192),
  schedule: choice(SCHEDULES),
  spacing: choice(SPACINGS),
  eta: number(0, 10),
  rng: choice(RNGS),
  program: choice(PROGRAMS),
  web_ui: record(WEB_UI),
  variation: record(VARIATION, ["seed", "strength"]),
  seed_resize: pair(whole(0, 8192)),
  clip_skip: whole(0, 12),
  emphasis: choice(EMPHASES),
  pad_conds: flag,
  prediction: choice(PREDICTIONS),
  zero_snr: flag,
  guidance_rescale: number(0, 1),
  batch: whole(1, 1000),
  denoise: orNull(number(0, 1)),
  masked: flag,
  hires: orNull(record(HIRES, ["scale", "denoise"])),
  embeddings: list(record(EMBEDDING, ["name", "sha256"])),
  adapters: list(record(ADAPTER, ["name", "sha256", "strength"])),
};

/** @param {unknown} value @returns {{ recipe: LinkedRecipe, unusable: Unusable[] }} */
export function checkedRecipe(value) {
  /** @type {Unusable[]} */
  const unusable = [];
  /** @type {Record<string, unknown>} */
  const found = { ...USUAL };
  const given = typeof value === "object" && value !== null ? Object.entries(value) : [];
  for (const [name, each] of given) {
    const checked = Object.hasOwn(FIELDS, name) ? FIELDS[/** @type {keyof Recipe} */ (name)](each) : undefined;
    if (checked !== undefined) found[name] = checked;
    else if (each !== null && each !== undefined) unusable.push({ name: name.slice(0, 40), value: shown(each) });
  }
  return { recipe: /** @type {LinkedRecipe} */ (/** @type {unknown} */ (found)), unusable };
}

/** @param {unknown} value */
function shown(value) {
  const written = typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  return written.length > 60 ? `${written.slice(0, 60)}…` : written;
}
