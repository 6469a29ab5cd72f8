/**
 * Strengths of a network's blocks: which blocks there are, the strengths as a recipe writes them, and as block-weight
 * extensions do. Pure.
 */

import { say, t } from "../words.js";

/** @typedef {Record<string, number>} Strengths by block; 1 for those that are not named */

/** IN00 to IN08, or to IN11. @param {string} name @param {number} count */
const numbered = (name, count) => Array.from({ length: count }, (_, i) => `${name}${String(i).padStart(2, "0")}`);

/**
 * Blocks of the web UIs' lists, whose layers have attention and so are changed by a plain LoRA.
 * @type {Record<string, string[]>}
 */
const OF_A_LORA = {
  sd: [
    "IN01",
    "IN02",
    "IN04",
    "IN05",
    "IN07",
    "IN08",
    "MID",
    "OUT03",
    "OUT04",
    "OUT05",
    "OUT06",
    "OUT07",
    "OUT08",
    "OUT09",
    "OUT10",
    "OUT11",
  ],
  sdxl: ["IN04", "IN05", "IN07", "IN08", "MID", "OUT00", "OUT01", "OUT02", "OUT03", "OUT04", "OUT05"],
};

/** All of them. @param {number} count */
const whole = (count) => [...numbered("IN", count), "MID", ...numbered("OUT", count)];

/** The lists by their lengths: the text encoders first. @type {Record<number, string[]>} */
const LISTS = {
  17: ["TE", ...OF_A_LORA.sd],
  26: ["TE", ...whole(12)],
  12: ["TE", ...OF_A_LORA.sdxl],
  20: ["TE", ...whole(9)],
};

/**
 * The blocks that a file changes, in groups, text encoders as one.
 * @param {import("../engine/types.d.ts").Report} report
 */
export function sliders({ coverage }) {
  const changed = coverage.filter(({ covered }) => covered > 0);
  const text = changed.some(({ component }) => component.startsWith("text_encoder"));
  const blocks = changed.filter(({ component }) => !component.startsWith("text_encoder"));
  const groups = Map.groupBy(blocks, ({ block }) => block.replace(/\d+$/, ""));
  const own = [...groups].map(([name, blocks]) => ({
    name,
    blocks: blocks.map(({ block, label }) => ({ block, label: say(label) })),
  }));
  return [...(text ? [{ name: "TE", blocks: [{ block: "TE", label: t("group.all_te") }] }] : []), ...own];
}

/**
 * The strengths as sd-webui-lora-block-weight takes them: 17 or 26 numbers for SD, 12 or 20 for SDXL, the first of them
 * for the text encoders; "" for other models.
 * @param {import("../engine/types.d.ts").Report} report @param {Record<string, number>} strengths
 */
export function blockWeights({ base, coverage }, strengths) {
  const kind = base.family === "sdxl" ? "sdxl" : ["sd15", "sd21"].includes(base.family) ? "sd" : "";
  if (!kind) return "";
  const changed = coverage
    .filter(({ component, covered }) => component === "unet" && covered > 0)
    .map(({ block }) => block);
  const count = kind === "sdxl" ? 9 : 12;
  const plain = changed.every((block) => OF_A_LORA[kind].includes(block));
  const blocks = plain ? OF_A_LORA[kind] : whole(count);
  return ["TE", ...blocks].map((block) => String(Number((strengths[block] ?? 1).toFixed(2)))).join(",");
}

/** As a recipe has them: `IN04=0.5,MID=0`, without those that are 1. @param {Strengths} strengths */
export function strengthsText(strengths) {
  const told = Object.entries(strengths).filter(([, strength]) => strength !== 1);
  return told.map(([block, strength]) => `${block}=${Number(strength.toFixed(2))}`).join(",");
}

/** What a recipe's text means; nothing where it means nothing. @param {string} text @returns {Strengths} */
export function strengthsOf(text) {
  const parts = text
    .split(",")
    .map((part) => part.trim())
    .filter(Boolean);
  const names = LISTS[parts.length] ?? [];
  const pairs = parts.map((part, at) => (part.includes("=") ? part.split("=") : [names[at] ?? "", part]));
  const known = pairs.map(
    ([name, strength]) => /** @type {[string, number]} */ ([name.trim().toUpperCase(), Number(strength)]),
  );
  return Object.fromEntries(known.filter(([name, strength]) => name && Number.isFinite(strength)));
}

/**
 * The strengths on show beside a file's map: those of its row in the stack, else those that were set for a new file.
 * @param {import("../types.d.ts").State} state
 * @returns {Strengths}
 */
export function shownStrengths({ form, look, selected }) {
  const row = form.loras.find(({ id }) => id === selected);
  return row ? strengthsOf(row.blocks) : look.strengths;
}
