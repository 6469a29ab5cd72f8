/**
 * A recipe or a request for a report <-> the page's fragment, which no server sees. Pure.
 *
 * `#v1&model=…&prompt=…&seed=…&lora=NAME:STRENGTH[/TEXT ENCODER]:SHA-256` draws, each `lora` with its `blocks=IN04=0.5`
 * and `from=https://…` behind it; `#v1&look=NAME:SHA-256` or `#v1&look=https://…` reports. All other fields of a recipe
 * stand under their own names, as JSON where they are no text. Links of every version that was ever given away are kept
 * in tests/browser/links.json.
 */

import { decoded } from "../core/format.js";
import { TEXT_FIELDS } from "../generate/options.js";
import { checkedRecipe } from "./schema.js";

/** @typedef {import("./schema.js").LinkedRecipe} LinkedRecipe */
/** @typedef {import("./schema.js").LinkedAdapter} LinkedAdapter */
/** @typedef {{ name: string, sha256: string, address: string }} Look what to report: by name and hash, or by address */
/** @typedef {ReturnType<typeof checkedRecipe> | { look: Look } | { unknown: string }} Link */

/** What stands in a link as it is. */
const TEXTS = ["model", ...TEXT_FIELDS];
const OF_ADAPTERS = ["lora", "blocks", "from", "version", "adapters"];

/**
 * @param {LinkedRecipe} recipe
 * @param {Map<string, string>} [addresses] where adapters lie on the web, by their hashes
 * @returns {string} with its #
 */
export function recipeLink({ version, adapters, ...fields }, addresses = new Map()) {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(fields)) {
    const written = typeof value === "string" ? value : JSON.stringify(value);
    if (value !== null && value !== undefined) params.set(key, written);
  }
  for (const { name, sha256, strength, text_encoder, blocks, address = addresses.get(sha256) } of adapters) {
    const strengths = text_encoder === undefined ? String(strength) : `${strength}/${text_encoder}`;
    params.append("lora", `${name}:${strengths}:${sha256}`);
    if (blocks) params.append("blocks", blocks);
    if (address) params.append("from", address);
  }
  return fragment(`v${version}`, params);
}

/** @param {{ name: string, sha256: string, address?: string }} look @returns {string} with its # */
export function lookLink({ name, sha256, address }) {
  return fragment("v1", new URLSearchParams({ look: address || `${name}:${sha256}` }));
}

/** Readable where the standard allows it. @param {string} version @param {URLSearchParams} params */
function fragment(version, params) {
  return `#${version}&${params}`.replaceAll("%3A", ":").replaceAll("%2F", "/").replaceAll("%2C", ",");
}

/** @param {string} hash with its # @returns {Link | null} null for what is no link of this page */
export function parsedLink(hash) {
  const [, version = "", rest = ""] = /^#(v\d+)&(.*)$/s.exec(hash) ?? [];
  if (!version) return null;
  if (version !== "v1") return { unknown: version };
  const params = new URLSearchParams(rest);
  const look = params.get("look");
  return look === null ? checkedRecipe(recipeOf(params)) : { look: lookOf(look) };
}

/** @param {string} look @returns {Look} */
function lookOf(look) {
  if (/^https?:\/\//i.test(look))
    return { name: decoded(look.split(/[?#]/)[0].split("/").at(-1) ?? ""), sha256: "", address: look };
  const [, name = look, sha256 = ""] = /^(.*):([0-9a-f]{8,64})$/.exec(look) ?? [];
  return { name, sha256, address: "" };
}

/**
 * The fields of a link as they are written: the schema says what is usable.
 * @param {URLSearchParams} params
 * @returns {Record<string, unknown>}
 */
function recipeOf(params) {
  /** @type {Map<string, unknown>} */
  const fields = new Map();
  for (const [key, text] of params) {
    if (OF_ADAPTERS.includes(key)) continue;
    // The older name of the field.
    if (key === "syntax") fields.set("program", text === "plain" ? "diffusers" : text);
    else if (TEXTS.includes(key)) fields.set(key, text);
    // A seed may have more digits than a number.
    else if (text) fields.set(key, key === "seed" ? text : valueOf(text));
  }
  return { ...Object.fromEntries(fields), adapters: adaptersOf(params) };
}

/** What follows a LoRA is said of it. @param {URLSearchParams} params */
function adaptersOf(params) {
  /** @type {LinkedAdapter[]} */
  const adapters = [];
  for (const [key, text] of params) {
    const last = adapters.at(-1);
    if (key === "lora") adapters.push(adapterOf(text));
    else if (last && key === "blocks") last.blocks = text;
    else if (last && key === "from" && /^https?:\/\//i.test(text)) last.address = text;
  }
  return adapters;
}

/** @param {string} text @returns {LinkedAdapter} */
function adapterOf(text) {
  const [, name = text, strength = "1", textEncoder, sha256 = ""] =
    /^(.*?)(?::(-?[\d.e-]+)(?:\/(-?[\d.e-]+))?)?(?::([0-9a-f]{8,64})?)?$/.exec(text) ?? [];
  const te = Number(textEncoder);
  return {
    name,
    sha256,
    strength: Number.isFinite(Number(strength)) ? Number(strength) : 1,
    ...(textEncoder && Number.isFinite(te) && { text_encoder: te }),
  };
}

/** A number, JSON, or else the text itself. @param {string} text */
function valueOf(text) {
  if (!Number.isNaN(Number(text))) return Number.isFinite(Number(text)) ? Number(text) : text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
