/** Image files -> pixels of a recipe's size. */

import { t } from "./words.js";

/** @param {File} file */
export function isImage({ name, type }) {
  return type.startsWith("image/") || /\.(png|jpe?g|webp|gif|avif|bmp)$/i.test(name);
}

/** Whether the engine can read the texts of the image. @param {File} file */
export function holdsTexts({ name, type }) {
  return /^image\/(png|jpeg|webp|avif)$/.test(type) || /\.(png|jpe?g|webp|avif)$/i.test(name);
}

/** A PNG's pixels. @param {Uint8Array} png */
export async function decodedImage(png) {
  const bitmap = await createImageBitmap(new Blob([/** @type {BlobPart} */ (png)], { type: "image/png" }), {
    colorSpaceConversion: "none",
    premultiplyAlpha: "none",
  });
  const { width, height } = bitmap;
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw { kind: "image", message: t("error.canvas_image") };
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return { width, height, rgba: context.getImageData(0, 0, width, height).data };
}

/** The width and height of an image. @param {File} file @returns {Promise<[width: number, height: number]>} */
export async function sizeOf(file) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw { kind: "image", message: t("error.not_image", { name: file.name }) };
  });
  const { width, height } = bitmap;
  bitmap.close();
  return [width, height];
}

/**
 * The middle of the image, as large as it fills the size, on white: RGBA, row by row.
 * @param {File} file @param {number} width @param {number} height
 * @returns {Promise<Uint8Array>}
 */
export async function pixelsOf(file, width, height) {
  const bitmap = await createImageBitmap(file).catch(() => {
    throw { kind: "image", message: t("error.not_image", { name: file.name }) };
  });
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw { kind: "image", message: t("error.canvas_image") };
  const scale = Math.max(width / bitmap.width, height / bitmap.height);
  const [wide, high] = [bitmap.width * scale, bitmap.height * scale];
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (width - wide) / 2, (height - high) / 2, wide, high);
  bitmap.close();
  return new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
}
