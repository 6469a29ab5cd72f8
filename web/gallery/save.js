/**
 * Images, texts and edited files -> files among the user's downloads, by their names. The browser gives each a name of
 * its own: nothing is overwritten.
 */

import { gridImage } from "./grid-image.js";
import { download } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */

/** @typedef {Omit<import("../types.d.ts").Drawing, "id">} Drawing */

/** The image as a file with its recipe. @param {Drawing} drawing */
export function imageFile(drawing) {
  return new File([/** @type {BlobPart} */ (drawing.image.png)], `${fileName(nameOf(drawing))}.png`, {
    type: "image/png",
  });
}

/** @param {Drawing} drawing */
export function saveDrawing(drawing) {
  return save(/** @type {BlobPart} */ (drawing.image.png), nameOf(drawing));
}

/** All images of this visit as a zip, whose writer is loaded now. @param {State["history"]} history */
export async function saveHistory({ items }) {
  if (!items.length) return null;
  const { downloadZip } = await import("client-zip");
  const files = items.map((item, at) => ({
    input: imageFile(item),
    name: `${String(at + 1).padStart(4, "0")}-${imageFile(item).name}`,
  }));
  return download("lora-loupe-images.zip", await downloadZip(files).blob());
}

/** @param {State["grid"]} grid */
export async function saveGrid(grid) {
  return grid && save(await gridImage(grid), `grid ${grid.title}`);
}

/** The grid in motion, whose encoder is loaded now. @param {State["grid"]} grid */
export async function saveAnimation(grid) {
  if (!grid) return null;
  const { gridAnimation } = await import("./animation.js");
  return download(`${fileName(`grid ${grid.title}`)}.gif`, await gridAnimation(grid));
}

/** @param {Drawing} drawing */
function nameOf({ recipe: { prompt, seed }, loras }) {
  const acting = loras.map(({ label, strength }) => `${label} ${strength}`).join(" ");
  return `${prompt} seed ${seed} ${acting || "no LoRA"}`;
}

/** @param {BlobPart} png @param {string} name */
function save(png, name) {
  return download(`${fileName(name)}.png`, new Blob([png], { type: "image/png" }));
}

/** @param {string} name */
export function fileName(name) {
  return name.replace(/[^\p{L}\p{N}.+-]+/gu, "_").slice(0, 100);
}

/** @param {string} name @param {string} text @param {string} type */
export function saveText(name, text, type) {
  return download(name, new Blob([text], { type }));
}
