/** A file's metadata strings -> readable fields and pretty JSON. Pure. */

import { word } from "../words.js";

/** @typedef {import("../engine/types.d.ts").Report["metadata"]} Metadata */
/**
 * @typedef {{ key: string, label: string, value: string, code: boolean }} Field `code`: set in a fixed-width face, with
 * its line breaks
 */

/** The entries that people look for first, in this order. */
export const KNOWN = [
  "modelspec.title",
  "modelspec.author",
  "modelspec.description",
  "modelspec.trigger_phrase",
  "modelspec.usage_hint",
  "modelspec.license",
  "modelspec.date",
  "modelspec.architecture",
  "ss_output_name",
  "ss_training_comment",
  "ss_sd_model_name",
  "ss_base_model_version",
  "ss_network_module",
  "ss_network_dim",
  "ss_network_alpha",
  "ss_network_args",
  "ss_resolution",
  "ss_num_train_images",
  "ss_num_epochs",
  "ss_steps",
  "ss_max_train_steps",
  "ss_total_batch_size",
  "ss_learning_rate",
  "ss_unet_lr",
  "ss_text_encoder_lr",
  "ss_lr_scheduler",
  "ss_optimizer",
  "ss_mixed_precision",
  "ss_clip_skip",
  "ss_noise_offset",
  "ss_min_snr_gamma",
  "ss_seed",
  "ss_training_started_at",
  "ss_training_finished_at",
];

const TIMES = ["ss_training_started_at", "ss_training_finished_at"];
const NOTHING = ["", "None", "null", "{}", "[]"];

/**
 * Known fields first and named, then the rest under their own keys; empty values are left out.
 * @param {Metadata} metadata
 * @returns {{ known: Field[], others: Field[] }}
 */
export function readable(metadata) {
  const known = KNOWN.filter((key) => key in metadata);
  const others = Object.keys(metadata).filter((key) => !KNOWN.includes(key));
  const told = (/** @type {string} */ key) => !NOTHING.includes((metadata[key] ?? "").trim());
  const field = (/** @type {string} */ key) => ({
    key,
    label: KNOWN.includes(key) ? word("metadata", key) : key,
    ...shown(key, metadata[key] ?? ""),
  });
  return { known: known.filter(told).map(field), others: others.filter(told).sort().map(field) };
}

/** @param {string} key @param {string} value */
function shown(key, value) {
  if (TIMES.includes(key) && Number(value) > 0) {
    const time = new Date(Number(value) * 1000);
    if (!Number.isNaN(time.getTime()))
      return { value: time.toISOString().slice(0, 16).replace("T", " ") + " UTC", code: false };
  }
  return prettyJson(value) ?? { value, code: false };
}

/** An object or a list, indented; null for any other text. @param {string} value */
function prettyJson(value) {
  if (!/^\s*[{[]/.test(value)) return null;
  try {
    return { value: JSON.stringify(JSON.parse(value), null, 2), code: true };
  } catch {
    return null;
  }
}
