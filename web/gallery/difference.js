/** Two images of one size -> where they differ, and how much. Pure, but for remembering its last answers. */

/** @typedef {import("../ui/elements/pixel-image.js").Pixels} Pixels */
/**
 * @typedef {{ pixels: Pixels, most: number, mean: number }} Difference `most` and `mean` in grey levels, of 255;
 * `pixels` stretched until `most` is white
 */

/** @type {WeakMap<Pixels, WeakMap<Pixels, Difference>>} */
const known = new WeakMap();

/** @param {Pixels} before @param {Pixels} after @returns {Difference} */
export function differenceOf(before, after) {
  const others = known.get(before) ?? new WeakMap();
  known.set(before, others);
  const difference = others.get(after) ?? measured(before, after);
  others.set(after, difference);
  return difference;
}

/** @param {Pixels} before @param {Pixels} after @returns {Difference} */
function measured({ width, height, rgba: a }, { rgba: b }) {
  const rgba = new Uint8ClampedArray(a.length);
  let [most, sum] = [0, 0];
  for (let at = 0; at < a.length; at++) {
    if (at % 4 === 3) continue;
    rgba[at] = Math.abs(a[at] - b[at]);
    most = Math.max(most, rgba[at]);
    sum += rgba[at];
  }
  for (let at = 0; at < a.length; at++) rgba[at] = at % 4 === 3 ? 255 : (rgba[at] * 255) / Math.max(1, most);
  return { pixels: { width, height, rgba }, most, mean: sum / (width * height * 3) };
}
