/** State -> the recipe that its form means, and what else decides an image. Pure. */

import { writtenOptions } from "./generate/options.js";
import { RANDOM_SEED } from "./generate/seed.js";
import { entryById, loraNamed, loraOptions, stem } from "./select.js";
import { t } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Row} Row */
/** @typedef {import("./engine/types.d.ts").Recipe} Recipe */

/**
 * What the worker must have opened: the chosen model, with its other files, on the chosen device.
 * @param {State} state
 */
export function modelKey(state) {
  const { base } = state;
  const single = base.own.some(({ id, kind }) => id === base.chosen && kind === "file");
  const parts = single ? base.parts : [];
  const files = [base.chosen, ...parts.map(({ id }) => id)].join(" with ");
  const { device, weights } = modelPlace(state);
  return `${files} on ${device}${weights === "auto" ? "" : ` in ${weights}`}`;
}

/** Where images are computed. @param {State} state @returns {"gpu" | "cpu"} */
export const deviceOf = ({ device }) => (device.info && !device.info.gpu ? "cpu" : "gpu");

/**
 * Where the model is opened, and how its weights are stored; the demo's are as they are.
 * @param {State} state
 * @returns {import("./engine/protocol.js").ModelPlace}
 */
export function modelPlace(state) {
  const { base, device } = state;
  const weights = base.chosen === "demo" ? "auto" : device.weights;
  const memory = base.chosen === "demo" ? undefined : device.info?.memory.bytes;
  return { device: deviceOf(state), weights, memory, memoryOfTwo: device.info?.memoryOfTwo };
}

/** What decides an image besides its recipe. @param {State} state */
export function causeOf(state) {
  return `${modelKey(state)} from ${state.start?.id ?? "noise"} through ${state.mask?.id ?? "no mask"}`;
}

/** `<lora:name:strength>` of the web UIs. */
const MENTION = /<lora:([^:<>]{1,200})(?::([^<>]{0,200}))?>/gi;

/**
 * What acts: the rows of the stack that are on, and the LoRAs that an A1111 prompt mentions, whose strengths come
 * first.
 * @param {State} state @returns {Row[]}
 */
export function activeRows(state) {
  const said = mentions(state);
  const rows = state.form.loras.filter(({ id, on }) => id && on && !said.some((row) => row.id === id));
  return [...rows, ...said];
}

/** Their names for people. @param {State} state @returns {{ label: string, strength: number }[]} */
export function activeLabels(state) {
  const { demo, own } = loraOptions(state);
  const label = (/** @type {string} */ id) =>
    [...demo, ...own].find((option) => option.id === id)?.label ?? entryById(state, id)?.name ?? id;
  return activeRows(state).map(({ id, strength }) => ({ label: label(id), strength }));
}

/** The mentioned LoRAs that are here; the engine names the others. @param {State} state @returns {Row[]} */
function mentions(state) {
  if (state.form.program === "diffusers") return [];
  return [...state.form.prompt.matchAll(MENTION)].flatMap(([, name, strengths]) => {
    const id = loraNamed(state, name);
    const parts = (strengths || "1").split(":");
    const said = Object.fromEntries(
      parts.filter((part) => part.startsWith("lbw=")).map((part) => ["lbw", part.slice(4)]),
    );
    const [text, unet = text] = parts.filter((part) => !part.includes("=")).map(Number);
    return id
      ? [{ id, on: true, strength: unet || 0, textEncoder: text === unet ? null : text || 0, blocks: said.lbw ?? "" }]
      : [];
  });
}

/**
 * The state with a seed in the place of "a random one".
 * @param {State} state
 * @param {Recipe["seed"]} seed
 * @returns {State}
 */
export function seeded(state, seed) {
  return state.form.seed === RANDOM_SEED ? { ...state, form: { ...state.form, seed } } : state;
}

/**
 * The recipe with the LoRAs.
 * @param {State} state
 * @param {Recipe} plain
 * @param {Recipe["adapters"]} adapters
 * @returns {Recipe}
 */
export function stackedRecipe({ form }, plain, adapters) {
  return { ...plain, prompt: form.prompt, adapters };
}

/**
 * The form's recipe without any LoRA; what is left at the model's own value is left out.
 * @param {State} state
 * @returns {Recipe}
 */
export function plainRecipe(state) {
  const { form, base, start, mask, demo, files } = state;
  if (!base.info || !demo.catalogue) throw { kind: "no_model", message: t("error.no_model") };
  const prompt = form.program === "diffusers" ? form.prompt : form.prompt.replace(MENTION, "");
  return {
    .../** @type {Recipe} */ (writtenOptions(state)),
    ...{ version: 1, model: base.info.name, adapters: [], prompt },
    ...(start && mask && { masked: true }),
    ...embeddings(files, `${prompt} ${form.negative}`),
  };
}

/** Opened textual inversions that the prompts call by name. @param {State["files"]} files @param {string} prompts */
function embeddings(files, prompts) {
  const said = prompts.toLowerCase();
  const called = files.filter(
    ({ name, report }) => report?.kind === "textual_inversion" && said.includes(stem(name).toLowerCase()),
  );
  const choices = called.flatMap(({ name, report }) => (report ? [{ name, sha256: report.sha256 }] : []));
  return choices.length ? { embeddings: choices } : {};
}

/** Whether a quick image with other strengths can stand beside the one without. @param {State} state */
export function canRedraw(state) {
  const { form, result, base, device } = state;
  if (!form.live || !result?.without || !base.info || device.status !== "ready") return false;
  return result.cause === causeOf(state) && sameRecipe(result.plain, plainRecipe(seeded(state, result.plain.seed)));
}

/** Both in the order of keys of plainRecipe. @param {Recipe} a @param {Recipe} b */
export function sameRecipe(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
