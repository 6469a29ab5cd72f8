/**
 * The images of a grid along block weights -> what each block does to them, and weights without those that do nothing.
 * Pure.
 */

import { strengthsOf, strengthsText } from "../inspect/blocks.js";
import { differenceOf } from "./difference.js";

/** @typedef {import("../types.d.ts").Grid} Grid */
/** @typedef {import("../ui/elements/pixel-image.js").Pixels} Pixels */
/**
 * @typedef {{ block: string, without: number | null, only: number | null, map: Pixels | null }} BlockEffect `without`:
 * by how many grey levels the image changes if this block is off; `only`: if it alone is on, beside no block at all;
 * `map`: where it changes without it, for the first row
 */

/** Share of the strongest effect below which a block does next to nothing. */
const IDLE = 0.05;

/**
 * The blocks, the strongest first; none while the image with all blocks is not there.
 * @param {Grid} grid
 * @returns {BlockEffect[]}
 */
export function blockEffects({ x, y, cells }) {
  if (!x.kind.startsWith("blocks:")) return [];
  const off = x.ticks.map(({ value }) => blocksOff(String(value)));
  const all = [...new Set(off.flat())];
  const column = (/** @type {string[]} */ blocks) =>
    off.findIndex((other) => other.length === blocks.length && blocks.every((block) => other.includes(block)));
  const changes = (/** @type {number} */ from, /** @type {number} */ to) =>
    y.ticks.flatMap((_, row) => {
      const [before, after] = [from, to].map((at) => (at < 0 ? null : cells[row * x.ticks.length + at]?.image));
      return before && after ? [differenceOf(before, after)] : [];
    });
  const effects = all.map((block) => {
    const without = changes(column([]), column([block]));
    const only = changes(column(all), column(all.filter((other) => other !== block)));
    return { block, without: mean(without), only: mean(only), map: without[0]?.pixels ?? null };
  });
  const strength = (/** @type {BlockEffect} */ { without, only }) => without ?? only ?? 0;
  return effects
    .filter(({ without, only }) => without !== null || only !== null)
    .sort((a, b) => strength(b) - strength(a));
}

/** Blocks that a tick switches off. @param {string} text */
function blocksOff(text) {
  return Object.entries(strengthsOf(text)).flatMap(([block, strength]) => (strength === 0 ? [block] : []));
}

/** @param {{ mean: number }[]} differences */
function mean(differences) {
  if (!differences.length) return null;
  return differences.reduce((sum, { mean }) => sum + mean, 0) / differences.length;
}

/**
 * Weights that leave out the blocks without which the image stays almost as it is; "" if there are none.
 * @param {BlockEffect[]} effects
 */
export function suggestedWeights(effects) {
  const most = Math.max(0, ...effects.map(({ without }) => without ?? 0));
  const idle = effects.filter(({ without }) => without !== null && without < IDLE * most);
  return strengthsText(Object.fromEntries(idle.map(({ block }) => [block, 0])));
}
