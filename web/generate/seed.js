/** Seeds, of which PyTorch takes 64 bits and JavaScript's numbers 53. Pure. */

/** @typedef {import("../types.d.ts").Form} Form */

/** The seed of a form that takes another one with each run, as in the web UIs. */
export const RANDOM_SEED = -1;

/** The largest seed. */
export const MOST_SEED = "18446744073709551615";

/**
 * A seed as recipes have it: a number up to 2^53 - 1, its digits above.
 * @param {number | string} typed
 * @returns {Form["seed"]}
 */
export function seedOf(typed) {
  const text = String(typed).trim();
  if (!/^\d+$/.test(text)) return Math.trunc(Math.min(Math.max(Number(text) || 0, 0), Number.MAX_SAFE_INTEGER));
  const seed = BigInt(text) > BigInt(MOST_SEED) ? BigInt(MOST_SEED) : BigInt(text);
  return seed <= Number.MAX_SAFE_INTEGER ? Number(seed) : String(seed);
}

/** The seed of a later image of a batch: each has the next one. @param {Form["seed"]} seed @param {number} at */
export function laterSeed(seed, at) {
  return at ? seedOf(String(BigInt(seed) + BigInt(at))) : seed;
}
