/** Image sizes that a model was trained on, as width and height. */

/** SDXL's training buckets that people use, all of about a megapixel. @type {[number, number][]} */
const SDXL = [
  [1024, 1024],
  [1152, 896],
  [896, 1152],
  [1216, 832],
  [832, 1216],
  [1344, 768],
  [768, 1344],
  [1536, 640],
  [640, 1536],
];

/** @type {[number, number][]} */
const SD15 = [
  [512, 512],
  [768, 512],
  [512, 768],
];

/** @type {[number, number][]} */
const SD21 = [
  [768, 768],
  [1024, 768],
  [768, 1024],
];

/**
 * The sizes that suit a model; none of one that was trained at another size.
 * @param {{ family: string, width: number } | null} info
 * @returns {[number, number][]}
 */
export function modelSizes(info) {
  if (info?.family === "sdxl" && info.width === 1024) return SDXL;
  if (info?.family === "sd21" && info.width === 768) return SD21;
  return info?.width === 512 ? SD15 : [];
}
