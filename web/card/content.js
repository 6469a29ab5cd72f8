/** A report and the images of this visit -> what a card says of a LoRA. Pure. */

import { formatBytes, formatNumber, formatValues } from "../core/format.js";
import { LIMITS, lanes } from "../inspect/map.js";
import { sameRecipe } from "../recipe.js";
import { familyName, language, say, t, word } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Drawing} Drawing */
/** @typedef {import("../engine/types.d.ts").Report} Report */
/** @typedef {Omit<Drawing, "id">} Image */
/** @typedef {{ image: import("../engine/types.d.ts").GeneratedImage, caption: string }} Picture */
/**
 * @typedef {{
 *   name: string, kind: string, verdict: string, facts: [name: string, value: string][], words: string[],
 *   works: string,
 *   strips: import("../inspect/map.js").Strip[], pair: Picture[], series: Picture[], recipe: string, made: string,
 *   smooth: boolean,
 * }} Card `pair`: without and with the LoRA; `series`: more of the same grid; `smooth`: images are drawn so
 */

/** Trigger words, and images of a series, that a card has room for. */
const MOST_WORDS = 12;
const MOST_IMAGES = 8;

/** @param {State} state @param {Report} report @param {string} date @returns {Card} */
export function cardOf(state, report, date) {
  const { file, kind, verdict, health, training, coverage, metadata } = report;
  const parts = [...new Set(coverage.map(({ component }) => component))].filter((part) =>
    coverage.some(({ component, covered }) => component === part && covered > 0),
  );
  const pair = pairOf(state, report.sha256);
  return {
    name: metadata["modelspec.title"] || file.replace(/\.\w+$/, ""),
    kind: word("kind", kind),
    verdict: [verdict, ...(health?.sentences ?? [])].map(say).join(" "),
    facts: factsOf(report),
    words: (training?.trigger_words ?? []).map(({ text }) => text).slice(0, MOST_WORDS),
    works: worksOf(report),
    strips: parts.map((part) => lanes(report, part)),
    pair: pair.map(({ image, loras }) => ({ image, caption: captionOf(loras) })),
    series: seriesOf(state, report.sha256),
    recipe: pair.length ? t("card.recipe", { prompt: pair[0].recipe.prompt, seed: String(pair[0].recipe.seed) }) : "",
    made: t("card.made", { date }),
    smooth: state.smooth,
  };
}

/** @param {Report} report @returns {[name: string, value: string][]} */
function factsOf({ base, algorithms, modules, size, hashes, file }) {
  /** @type {[string, string][]} */
  const facts = [
    [t("fact.made_for"), base.family === "unknown" ? "" : familyName(base)],
    [t("fact.algorithm"), algorithms.map((name) => word("algorithm", name)).join(", ")],
    [t("fact.rank"), formatValues(modules.flatMap(({ rank }) => rank ?? []))],
    [t("fact.modules"), modules.length ? String(modules.length) : ""],
    [t("fact.size"), formatBytes(size)],
    [t("table.file"), file],
    ["AutoV3", hashes?.auto_v3?.slice(0, 12) ?? ""],
  ];
  return facts.filter(([, value]) => value);
}

/** @param {Report} report */
function worksOf({ loaders }) {
  const list = loaders.filter(({ status }) => status === "applied").map(({ label }) => label);
  return list.length ? t("verdict.works", { list: new Intl.ListFormat(language()).format(list) }) : "";
}

/** @param {Drawing["loras"]} loras */
function captionOf(loras) {
  const [lora] = loras;
  return lora ? t("card.with", { strength: lora.strength }) : t("card.without");
}

/** Whether only this LoRA acts in it. @param {Image} image @param {string} sha256 */
function isOf({ recipe: { adapters } }, sha256) {
  return adapters.length === 1 && adapters[0].sha256 === sha256 && adapters[0].strength !== 0;
}

/**
 * The last image with this LoRA alone, after the one without it; only the former if there is no other.
 * @param {State} state @param {string} sha256 @returns {Image[]}
 */
function pairOf({ history, grid }, sha256) {
  const all = [...(grid?.cells ?? []).filter((cell) => cell !== null), ...history.items];
  const own = all.filter((image) => isOf(image, sha256)).reverse();
  const before = (/** @type {Image} */ { recipe }) =>
    all.find((other) => !other.recipe.adapters.length && sameRecipe(plainOf(other.recipe), plainOf(recipe)));
  const after = own.find(before) ?? own[0];
  if (!after) return [];
  const without = before(after);
  return without ? [without, after] : [after];
}

/** A recipe but for its LoRAs, whose mentions may stand in the prompt. @param {Image["recipe"]} recipe */
function plainOf({ adapters, prompt, ...recipe }) {
  return /** @type {Image["recipe"]} */ ({ ...recipe, adapters: [], prompt: prompt.replace(/<lora:[^>]*>/g, "") });
}

/**
 * The images of the grid, if this LoRA alone acts in them.
 * @param {State} state @param {string} sha256
 */
function seriesOf({ grid }, sha256) {
  if (!grid) return [];
  const { x, y, cells } = grid;
  const pictures = cells.flatMap((cell, at) => {
    if (!cell || !cell.recipe.adapters.every((adapter) => adapter.sha256 === sha256)) return [];
    const ticks = [x.ticks[at % x.ticks.length], y.ticks[Math.floor(at / x.ticks.length)]];
    const caption = ticks.flatMap(({ label }) => label || []).join(", ");
    return [{ image: cell.image, caption, own: isOf(cell, sha256) }];
  });
  return pictures.some(({ own }) => own) && pictures.length > 1 ? pictures.slice(0, MOST_IMAGES) : [];
}

/** What the colours of the map mean, from weak to strong. */
export function legendOf() {
  const percent = (/** @type {number} */ limit) => formatNumber(100 * limit);
  return [
    ...LIMITS.map((limit) => t("map.under", { percent: percent(limit) })),
    t("map.and_more", { percent: percent(LIMITS[LIMITS.length - 1]) }),
  ];
}
