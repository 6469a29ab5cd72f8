/**
 * The one door for recipes from outside: what an image file, a link or the history says of how an image was made -> the
 * form's change, and one remark on what is missing. Pure.
 */

import { EMPTY_ROW } from "../form.js";
import { readOptions } from "../generate/options.js";
import { entryById, loraNamed, stem, upscalers, usable } from "../select.js";
import { t, word } from "../words.js";
import { checkedRecipe } from "./schema.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Form} Form */
/** @typedef {import("../engine/types.d.ts").RecipeDraft} RecipeDraft */
/**
 * @typedef {{ name: string, strength: number, textEncoder: number | null, sha256: string, blocks?: string | null,
 * version?: number | null }} Wanted `sha256` may be cut short or ""; `version` is Civitai's number
 */

/** @type {import("../engine/types.d.ts").ImageInfo} */
export const NOTHING_SAID = { recipe: null, draft: null, unknown: [], problems: [] };

/**
 * @param {State} state @param {string} file the image's name, or "the link"
 * @param {Pick<import("../engine/types.d.ts").ImageInfo, "draft" | "problems"> & { recipe: unknown }} said a recipe of
 * any shape
 * @param {string} [again] what to do, or what happens, when a missing file has come
 * @returns {{ change: Partial<Form>, model: string, remark: import("../types.d.ts").Remark } | null} null where it says
 * nothing
 */
export function restored(state, file, { recipe, draft, problems }, again = t("restore.drop_again")) {
  const told = recipe ? ofRecipe(recipe) : draft ? ofDraft(draft) : null;
  if (!told) return null;
  const missing = [...told.missing, ...problems, ...missingUpscaler(state, told.change)];
  const { info } = state.base;
  if (info && told.change.sampler && !info.samplers.includes(told.change.sampler)) {
    missing.push(t("restore.no_sampler", { name: word("sampler", told.change.sampler), model: info.name }));
    delete told.change.sampler;
  }
  const rows = told.wanted.flatMap((wanted) => {
    const { id, remark } = find(state, wanted, again);
    if (remark) missing.push(remark);
    return id
      ? [{ ...EMPTY_ROW, id, strength: wanted.strength, textEncoder: wanted.textEncoder, blocks: wanted.blocks ?? "" }]
      : [];
  });
  const model = modelNamed(state, told.model) ?? state.base.chosen;
  if ((told.model || told.modelHash) && !modelNamed(state, told.model)) {
    missing.push(t("restore.no_model", { name: `${told.model}${hashOf(told.modelHash)}`.trim(), again }));
  }
  const { defaults } = state.demo.catalogue ?? {};
  const { width = 0, height = 0 } = told.change;
  if (model === "demo" && defaults && width && (width !== defaults.width || height !== defaults.height)) {
    missing.push(t("restore.size", { width, height, demo_width: defaults.width, demo_height: defaults.height }));
  }
  if (told.denoise !== null) {
    missing.push(t(told.masked ? "restore.start_mask" : "restore.start", { amount: told.denoise }));
  }
  for (const { name, sha256 } of told.words) {
    // Prompts call a textual inversion by its file's name: the same file under another name would not act.
    const isIt = (/** @type {import("../types.d.ts").Entry} */ { report, name: file }) =>
      sha256.length === 64
        ? report?.sha256 === sha256
        : stem(file) === stem(name) && (!sha256 || hasHash(report, sha256));
    if (!state.files.some(isIt)) missing.push(t("restore.no_words", { name: name + hashOf(sha256), again }));
  }
  return {
    change: { ...told.change, loras: rows.length ? rows : [EMPTY_ROW] },
    model,
    remark: {
      kind: "restored",
      severity: missing.length ? "warn" : "good",
      title: missing.length
        ? t("restore.but", { file, things: t("n.thing", { n: missing.length }) })
        : t("restore.taken", { file }),
      message: [
        told.origin && t("restore.origin", { program: told.origin }),
        !missing.length && t(rows.length ? "restore.complete" : "restore.complete_plain"),
      ]
        .filter(Boolean)
        .join(" "),
      details: missing,
      image: null,
    },
  };
}

/** @param {State} state @param {Partial<Form>} change @returns {string[]} */
function missingUpscaler(state, { hires = "" }) {
  const isKnown = ["", "latent", "pixels", ...upscalers(state)].includes(hires);
  return isKnown ? [] : [t("restore.no_upscaler", { name: hires })];
}

/** What of a recipe was not usable, for people. @param {import("./schema.js").Unusable[]} unusable */
export function unusableSentences(unusable) {
  return unusable.map(({ name, value }) => t("restore.unusable", { name, value }));
}

/** @param {unknown} outside */
function ofRecipe(outside) {
  const { recipe, unusable } = checkedRecipe(outside);
  const { model, adapters, denoise = null, batch = 1, masked = false, embeddings = [] } = recipe;
  const wanted = adapters.map(({ name, sha256, strength, text_encoder, blocks }) => ({
    ...{ name, sha256, strength, blocks },
    textEncoder: text_encoder ?? null,
  }));
  const missing = [...unusableSentences(unusable), ...(batch > 1 ? [t("restore.batch", { n: batch })] : [])];
  const change = readOptions(recipe);
  return { change, model, modelHash: "", origin: "", wanted, words: embeddings, masked, denoise, missing };
}

/** Web UIs draw noise as graphics cards do, unless the file says otherwise. @param {RecipeDraft} draft */
function ofDraft(draft) {
  const { origin, program, size, clip_skip, rng, model, model_hash, denoise, adapters, embeddings, leftovers } = draft;
  const change = readOptions({
    ...draft,
    rng: rng ?? (program === "a1111" ? "philox" : "torch"),
    // A draft counts as the web UIs do.
    clip_skip: clip_skip && clip_skip - 1,
    // The web UIs draw whole positions of the latents.
    ...(size && { width: size[0] - (size[0] % 8), height: size[1] - (size[1] % 8) }),
  });
  const wanted = adapters.map(({ name, unet, text_encoder, blocks, hash, civitai_version }) => ({
    ...{ name, strength: unet, sha256: hash ?? "", blocks, version: civitai_version },
    textEncoder: text_encoder === unet ? null : text_encoder,
  }));
  const missing = leftovers.map(({ name, value, reason }) => `${name ? `${name}: ` : ""}${value} (${reason}).`);
  const words = embeddings.map(({ name, hash }) => ({ name, sha256: hash ?? "" }));
  return {
    ...{ change, model: model ?? "", modelHash: model_hash ?? "", origin: origin === "LoRA Loupe" ? "" : origin },
    ...{ wanted, words, masked: false, denoise, missing },
  };
}

/**
 * Whether a file has the hash that is meant: the whole file's SHA-256 or that of what stands behind its header, at any
 * length that sites cut it to.
 * @param {import("../engine/types.d.ts").Report | null} report
 * @param {string} hash
 */
function hasHash(report, hash) {
  const own = [report?.sha256, report?.hashes?.auto_v3];
  return (
    hash.length >= 8 &&
    own.some((full) => full && (full.startsWith(hash) || (full.length < hash.length && hash.startsWith(full))))
  );
}

/**
 * The LoRA that is meant: by its hash, else by its name.
 * @param {State} state
 * @param {Wanted} wanted
 * @param {string} again
 */
function find(state, { name, strength, sha256, version }, again) {
  const same = state.files.find((entry) => usable(entry) && hasHash(entry.report, sha256));
  if (same) return { id: same.id, remark: "" };
  const id = loraNamed(state, name);
  const report = entryById(state, id)?.report;
  const other = report?.sha256 && sha256.length >= 8;
  if (id) return { id, remark: other ? t("restore.other", { name }) : "" };
  if (version) return { id: "", remark: t("restore.no_lora_civitai", { name, strength, version, again }) };
  if (sha256.length === 64)
    return { id: "", remark: t("restore.no_lora_hash", { name, strength, hash: sha256.slice(0, 12), again }) };
  return { id: "", remark: t("restore.no_lora", { name: name + hashOf(sha256), strength, again }) };
}

/** What stands behind a name of which the hash is known. @param {string} hash */
function hashOf(hash) {
  return hash ? ` (${hash.slice(0, 12)})` : "";
}

/** @param {State} state @param {string} name @returns {string | undefined} */
function modelNamed({ base, demo }, name) {
  if (demo.catalogue && stem(demo.catalogue.name) === stem(name)) return "demo";
  return base.own.findLast((model) => stem(model.name) === stem(name))?.id;
}
