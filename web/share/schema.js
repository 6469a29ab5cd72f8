/**
 * The schema of recipes from outside: any value gives a recipe that the form can hold, and what was not usable. Pure.
 */

import { MOST_STRENGTH } from "../form.js";
import { OPTION_CHECKS } from "../generate/options.js";
import { flag, list, number, record, text, whole } from "./checks.js";

/** @typedef {import("../engine/types.d.ts").Recipe} Recipe */
/**
 * @typedef {import("../engine/types.d.ts").AdapterChoice & { address?: string }} LinkedAdapter `address`: where it lies
 * on the web
 */
/** @typedef {Omit<Recipe, "adapters"> & { adapters: LinkedAdapter[] }} LinkedRecipe */
/** @typedef {import("./checks.js").Check} Check */
/**
 * A setting that is left out, and the value that it had, cut short.
 * @typedef {{ name: string, value: string }} Unusable
 */

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

/** @type {Check} */
const hash = (value) => (typeof value === "string" && /^[0-9a-f]{0,64}$/.test(value) ? value : undefined);
/** @type {Check} */
const address = (value) =>
  typeof value === "string" && value.length < 2000 && /^https?:\/\//i.test(value) ? value : undefined;
/** @type {Check} */
const strength = number(-MOST_STRENGTH, MOST_STRENGTH);

/** @type {Record<keyof NonNullable<Recipe["embeddings"]>[number], Check>} */
const EMBEDDING = { name: text(300), sha256: hash };
/** @type {Record<keyof LinkedAdapter, Check>} */
const ADAPTER = {
  ...{ name: text(300), sha256: hash, strength, text_encoder: strength, blocks: text(2000), hash, address },
};

/** Every field of a recipe: a new one does not compile until it has a check. @type {Record<keyof Recipe, Check>} */
export const FIELDS = {
  ...OPTION_CHECKS,
  version: whole(1, 1),
  model: text(300),
  batch: whole(1, 1000),
  masked: flag,
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
