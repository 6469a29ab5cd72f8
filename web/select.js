/** State -> the answers that views and effects ask of it. Pure. */

import { relative } from "./inspect/map.js";
import { word } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Entry} Entry */
/** @typedef {import("./engine/types.d.ts").Report} Report */
/** @typedef {import("./engine/types.d.ts").ModuleRow} ModuleRow */

/** @param {number} value @param {number} least @param {number} most */
export function clamp(value, least, most) {
  return Number.isNaN(value) ? least : Math.min(most, Math.max(least, value));
}

/** A list; null for an empty one. @template T @param {T[]} list */
export function some(list) {
  return list.length ? list : null;
}

/** @param {State} state @param {string} id */
export function entryById(state, id) {
  return state.files.find((entry) => entry.id === id);
}

/** @param {Report} report */
export function refused(report) {
  return report.problems.some(({ severity }) => severity === "refuse");
}

/** What is of use, though not as a LoRA. */
const OTHER_MODELS = [
  ...["checkpoint", "textual_inversion", "vae", "hypernetwork", "control_net", "ip_adapter", "motion_module"],
  ...["text_encoder", "vision_model", "upscaler", "gguf"],
];

/** Whether a refused file is a model of another kind, and nothing is wrong with it. @param {Report} report */
export function isOtherModel({ kind, problems }) {
  const names = ["not_an_adapter", "full_checkpoint", "textual_inversion"];
  return OTHER_MODELS.includes(kind) && problems.every((problem) => names.includes(problem.class));
}

/**
 * Whether a new file can be made of it: its header could be read, and its tensors are numbers.
 * @param {Report} report
 */
export function canChange({ container, kind, header_sha256 }) {
  if (!header_sha256 || container === "zip") return false;
  return kind === "adapter" || container === "safetensors" || container.startsWith("pickle");
}

/** An adapter that was read and not refused. @param {Entry} entry */
export function usable(entry) {
  return entry.report?.kind === "adapter" && !entry.report.headers_only && !refused(entry.report);
}

/**
 * The width of the text features that an adapter was trained on, read from a layer that takes them in; null when it has
 * none.
 * @param {Report} report
 */
export function textWidth(report) {
  const layer = report.modules.find(
    ({ path, shape }) => shape.length >= 2 && /attn2\.to_[kv]$|self_attn\.q_proj$/.test(path),
  );
  return layer ? layer.shape[1] : null;
}

/**
 * Channels of the UNet's first level, read from a layer of an adapter that has as many; null when it has none.
 * @param {Report} report
 */
export function firstChannels(report) {
  const first = /^unet\.(conv_in|down_blocks\.0\.(resnets\.\d\.conv\d|attentions\.\d\.proj_in|downsamplers\.0\.conv))$/;
  return report.modules.find(({ path, shape }) => shape.length >= 2 && first.test(path))?.shape[0] ?? null;
}

/**
 * Whether an adapter can change the chosen model: its layers are as wide as the demo's, or its family is the model's.
 * What cannot be told yet counts as fitting; the engine has the last word.
 * @param {State} state @param {Report} report
 */
export function fitsModel({ base, demo }, report) {
  if (base.chosen !== "demo")
    return (
      !base.info ||
      [report.base, ...(report.base.others ?? [])].some(
        ({ family }) => family === "unknown" || family === base.info?.family,
      )
    );
  const { text_width, channels } = demo.catalogue ?? {};
  return [text_width, null].includes(textWidth(report)) && [channels, null].includes(firstChannels(report));
}

/** Width and height must be multiples of this. @param {State} state */
export function sizeStep({ base }) {
  return base.info?.multiple ?? 8;
}

/** Whether there is anything to draw with or to say of drawing. @param {State} state */
export function showsRun({ files, base, start, remark, history }) {
  return files.length > 0 || history.items.length > 0 || base.own.length > 0 || start !== null || remark !== null;
}

/** Whether anything is there besides the intro and the library. @param {State} state */
export function showsWork(state) {
  const { look, bench, asked, guide } = state;
  return showsRun(state) || look.folder !== null || bench.shown || asked !== null || guide !== null;
}

/**
 * What can be chosen to run with: the demo model's LoRAs, and the files that were dropped.
 * @param {State} state
 * @returns {{ demo: { id: string, label: string, shows: string }[], own: { id: string, label: string }[] }}
 */
export function loraOptions(state) {
  const loras = state.base.chosen === "demo" ? (state.demo.catalogue?.loras ?? []) : [];
  const demo = loras.map(({ file, label, shows }) => {
    const name = file.replace(/\.\w+$/, "");
    return { id: `demo:${file}`, label: word("demo_label", name, label), shows: word("demo", name, shows) };
  });
  const own = state.files
    .filter((entry) => usable(entry) && !entry.id.startsWith("demo:"))
    .map(({ id, name }) => ({ id, label: name.replace(/\.\w+$/, "") }));
  return { demo, own };
}

/** A LoRA's name in the next visit too, when files get other ids. @param {State} state @param {{ id: string }} row */
export function rowName(state, { id }) {
  return id.startsWith("demo:") ? id : (entryById(state, id)?.name ?? "");
}

/** A file's name as the web UIs compare it. @param {string} name */
export function stem(name) {
  return withoutExtension(name).toLowerCase();
}

/** @param {string} name of a file */
export function withoutExtension(name) {
  return name.replace(/\.(safetensors|ckpt|pth?|bin)$/i, "");
}

/**
 * The id of the LoRA of a name, which is its file's or the one that it was trained under, the newest first, "" for
 * none.
 * @param {State} state
 * @param {string} name
 */
export function loraNamed(state, name) {
  const { demo } = loraOptions(state);
  const files = state.files.filter((entry) => usable(entry) && !entry.id.startsWith("demo:"));
  // The web UI writes the name from the training instead of the file's.
  const own =
    files.findLast((entry) => stem(entry.name) === stem(name)) ??
    files.findLast(({ report }) => stem(report?.metadata.ss_output_name ?? "") === stem(name));
  return own?.id ?? demo.find(({ id }) => stem(id) === `demo:${stem(name)}`)?.id ?? "";
}

/** The tags of a prompt. @param {string} prompt */
export function tagsOf(prompt) {
  return prompt
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);
}

/** The prompt with a tag at its end, or without it where it has it. @param {string} prompt @param {string} tag */
export function withTag(prompt, tag) {
  const tags = tagsOf(prompt);
  return (tags.includes(tag) ? tags.filter((each) => each !== tag) : [...tags, tag]).join(", ");
}

/**
 * The rows of the module table: filtered, then sorted.
 * @param {Report} report @param {State["table"]} table @param {string} chosen "component/block" or ""
 * @returns {ModuleRow[]}
 */
export function tableRows(report, table, chosen) {
  const needle = table.filter.trim().toLowerCase();
  const rows = report.modules.filter(
    (module) => (!chosen || blockKey(module) === chosen) && (!needle || module.path.toLowerCase().includes(needle)),
  );
  const { sort, descending } = table;
  if (sort === "order") return descending ? rows.reverse() : rows;
  const sign = descending ? -1 : 1;
  const value = (/** @type {ModuleRow} */ row) => (sort === "relative" ? relative(row) : row[sort]);
  return rows.sort((a, b) => sign * compare(value(a), value(b)));
}

/**
 * Numbers by size, words by alphabet, nothing last.
 * @param {string | number | null} a
 * @param {string | number | null} b
 */
function compare(a, b) {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

/**
 * The model beside whose weights a report's strengths can be measured: the chosen one, where it fits; "" for none.
 * @param {State} state @param {Entry} entry
 */
export function weighableBy(state, entry) {
  const { base, demo } = state;
  if (!entry.report || entry.status !== "read" || !usable(entry) || !fitsModel(state, entry.report)) return "";
  if (base.chosen === "demo") return demo.catalogue?.name ?? "";
  return base.own.find(({ id }) => id === base.chosen)?.name ?? "";
}

/**
 * The shares of the base model's weights by which a report's layers change them, from weak to strong.
 * @param {Report} report
 */
export function weighed({ modules }) {
  const known = modules.filter(({ base_norm }) => base_norm !== null);
  return known.flatMap((row) => relative(row) ?? []).sort((a, b) => a - b);
}

/** A module's cell in the coverage strip. @param {{ path: string, block: string }} module */
export function blockKey({ path, block }) {
  return `${path.split(".", 1)[0]}/${block}`;
}

/** The names of the opened upscalers. @param {Pick<State, "files">} state */
export function upscalers({ files }) {
  return files.flatMap(({ name, report }) => (report?.kind === "upscaler" ? [withoutExtension(name)] : []));
}

/**
 * How far all the images of a run are, 0 to 1, and the seconds they still need.
 * @param {Pick<State["run"], "image" | "images" | "progress">} run
 * @returns {{ done: number, secondsLeft: number | null }}
 */
export function overallProgress({ image, images, progress }) {
  if (!progress) return { done: (image - 1) / images, secondsLeft: null };
  const { step, steps, seconds_left } = progress;
  const within =
    progress.stage === "decode" || progress.stage === "upscale"
      ? 1
      : progress.stage === "denoise"
        ? step / Math.max(1, steps)
        : 0;
  const later = images - image;
  const perStep = seconds_left !== null && steps > step ? seconds_left / (steps - step) : null;
  const secondsLeft = perStep === null ? seconds_left : perStep * (steps - step + later * steps);
  return { done: (image - 1 + within) / images, secondsLeft };
}

/**
 * Whether an id is that of a LoRA for the chosen model: one of the demo's, or an opened file that fits.
 * @param {State} state
 * @param {string} id
 */
export function canRun(state, id) {
  const { demo, own } = loraOptions(state);
  const report = entryById(state, id)?.report;
  const fits = own.some((option) => option.id === id) && !!report && fitsModel(state, report);
  return fits || demo.some((option) => option.id === id);
}
