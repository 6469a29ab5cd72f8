/** A grid -> one PNG: its images with the values above and beside them. */

import { t } from "../words.js";

const GAP = 8;
const LINE = 22;

/** @param {import("../types.d.ts").Grid} grid @returns {Promise<Blob>} */
export async function gridImage({ title, x, y, cells }) {
  const first = cells.find((cell) => cell !== null)?.image;
  const { width, height } = first ?? { width: 64, height: 64 };
  const scale = scaleOf({ width });
  const [wide, high] = [width * scale, height * scale];

  const measure = new OffscreenCanvas(1, 1).getContext("2d");
  if (!measure) throw { kind: "image", message: t("error.canvas_grid") };
  measure.font = font(15);
  const labelled = y.name ? [...y.ticks.map(({ label }) => label), y.name] : [];
  const left =
    GAP + Math.ceil(Math.max(0, ...labelled.map((text) => measure.measureText(text).width))) + (y.name ? GAP : 0);
  const top = GAP + LINE * (x.name ? 2 : 1) + GAP;

  const canvas = new OffscreenCanvas(left + x.ticks.length * (wide + GAP), top + y.ticks.length * (high + GAP));
  const context = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#1c2124";
  context.textBaseline = "middle";
  context.font = font(15, 600);
  context.fillText(title, GAP, GAP + LINE / 2, canvas.width - 2 * GAP);
  context.font = font(15);
  context.textAlign = "center";
  if (x.name)
    x.ticks.forEach(({ label }, at) =>
      context.fillText(label, left + at * (wide + GAP) + wide / 2, GAP + LINE * 1.5, wide),
    );
  context.textAlign = "left";
  if (y.name) y.ticks.forEach(({ label }, at) => context.fillText(label, GAP, top + at * (high + GAP) + high / 2));

  context.imageSmoothingEnabled = false;
  cells.forEach((cell, at) => {
    if (!cell) return;
    const [column, row] = [at % x.ticks.length, Math.floor(at / x.ticks.length)];
    context.drawImage(bitmap(cell.image), left + column * (wide + GAP), top + row * (high + GAP), wide, high);
  });
  return canvas.convertToBlob({ type: "image/png" });
}

/** Small images are drawn with larger pixels. @param {{ width: number }} image */
export function scaleOf({ width }) {
  return Math.max(1, Math.round(160 / width));
}

/** @param {import("../ui/elements/pixel-image.js").Pixels} image */
export function bitmap({ width, height, rgba }) {
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d")?.putImageData(new ImageData(rgba, width, height), 0, 0);
  return canvas;
}

/** @param {number} size @param {number} [weight] */
export function font(size, weight = 400) {
  return `${weight} ${size}px system-ui, sans-serif`;
}
