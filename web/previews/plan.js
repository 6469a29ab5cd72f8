/** One recipe for many LoRAs -> each one's form, the reason to pass it over, the names of its files. Pure. */

import { fitsModel, refused } from "../select.js";
import { familyName, say, t, word } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Form} Form */
/** @typedef {import("../types.d.ts").PreviewForm} PreviewForm */
/** @typedef {import("../types.d.ts").FolderRow} FolderRow */

/** What stands in a prompt in the place of a file's trigger words. */
export const TRIGGER = "{trigger}";

/** What the panel starts with: the form's own settings. @param {State} state @returns {PreviewForm} */
export function firstForm({ form }) {
  const { prompt, negative, seed, steps, guidance, width, height } = form;
  const named = prompt.includes(TRIGGER) ? prompt : [TRIGGER, prompt].filter(Boolean).join(", ");
  const kept = Number.isSafeInteger(Number(seed)) ? Math.max(0, Number(seed)) : 0;
  return { prompt: named, negative, seed: kept, steps, guidance, width, height, strength: 1 };
}

/**
 * A prompt with a file's trigger words; of a file without any, the place for them goes, with its comma.
 * @param {string} prompt @param {string} words
 */
export function filledPrompt(prompt, words) {
  if (words) return prompt.replaceAll(TRIGGER, () => words);
  return prompt
    .replaceAll(/(,\s*)?\{trigger\}/g, "")
    .replaceAll(/\s+,/g, ",")
    .replace(/^[\s,]+/, "")
    .trim();
}

/**
 * The page's form for one file, without LoRAs.
 * @param {Form} form @param {PreviewForm} previews @param {string} words
 * @returns {Form}
 */
export function formFor(form, { strength, ...previews }, words) {
  return { ...form, ...previews, prompt: filledPrompt(previews.prompt, words), batch: 1, loras: [] };
}

/**
 * Why a file gets no preview with the open model; null if it does.
 * @param {State} state @param {import("../engine/types.d.ts").Report} report
 * @returns {import("../types.d.ts").PreviewReason | null}
 */
export function reasonAgainst(state, report) {
  const { kind, verdict, base } = report;
  if (kind !== "adapter") return { is: "kind", kind };
  if (refused(report)) return { is: "refused", verdict };
  if (fitsModel(state, report)) return null;
  const { info, chosen } = state.base;
  return { is: "unfit", base, model: info ? `${info.name} (${info.label})` : "", demo: chosen === "demo" };
}

/** @param {import("../types.d.ts").PreviewReason} reason */
function reasonText(reason) {
  if (reason.is === "kind") return t("previews.no_adapter", { kind: word("kind", reason.kind) });
  if (reason.is === "refused") return say(reason.verdict);
  const { base, model, demo } = reason;
  // The demo's family says nothing: its layers are smaller than those of the models of that family.
  return demo ? t("previews.unfit_demo", { model }) : t("previews.unfit", { family: familyName(base), model });
}

/** "styles/cat.safetensors" -> "styles/cat". @param {string} path */
const stemOf = (path) => path.replace(/\.[^./\\]+$/, "");

/** The image's name, as AUTOMATIC1111 and managers of ComfyUI look for it beside the file. @param {string} path */
export const previewName = (path) => `${stemOf(path)}.preview.png`;

/** The name of a copy with its image inside, where the file's own is taken. @param {string} path */
export const copyName = (path) => `${stemOf(path)}.thumbnail.safetensors`;

/** A path in a folder that is opened by itself. @param {string} path @param {string} folder its name */
export function pathWithin(path, folder) {
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : path;
}

/**
 * Counts of what there is of the previews.
 * @param {Pick<import("../types.d.ts").Previews, "ids" | "made">} previews
 */
export function countsOf({ ids, made }) {
  const count = (/** @type {import("../types.d.ts").LoraPreview["status"]} */ status) =>
    ids.filter((id) => made[id]?.status === status).length;
  return { all: ids.length, made: count("made"), skipped: count("skipped"), failed: count("failed") };
}

/**
 * The files without an image, with the reasons.
 * @param {import("../types.d.ts").Previews} previews @param {FolderRow[]} rows
 * @returns {{ path: string, reason: string }[]}
 */
export function passedOver({ made }, rows) {
  return rows.flatMap(({ id, path }) => {
    const preview = made[id];
    if (preview?.status === "skipped") return [{ path, reason: reasonText(preview.reason) }];
    if (preview?.status === "failed") return [{ path, reason: say(preview.error.sentence ?? preview.error.message) }];
    return [];
  });
}
