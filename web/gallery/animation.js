/** A grid -> an animated GIF: one frame for each value of its longer side, with the value above the images. */

import { encode } from "modern-gif";
import { t } from "../words.js";
import { bitmap, font, scaleOf } from "./grid-image.js";

/** @typedef {import("../types.d.ts").Grid} Grid */

const GAP = 6;
const LINE = 30;
/** Milliseconds that a frame stays, and the last one. */
const PAUSE = 700;
const END = 1600;
/** Pixels that an image of a frame has at most on a side: a GIF of large ones would be very large. */
const MOST = 512;

/** @param {Grid} grid @returns {Promise<Blob>} */
export async function gridAnimation({ x, y, cells }) {
  const first = cells.find((cell) => cell !== null)?.image;
  if (!first) throw { kind: "image", message: t("error.canvas_grid") };
  const scale = Math.min(scaleOf(first), MOST / Math.max(first.width, first.height));
  const [wide, high] = [Math.round(first.width * scale), Math.round(first.height * scale)];
  const alongX = x.ticks.length > 1;
  const [frames, others] = alongX ? [x.ticks, y.ticks] : [y.ticks, x.ticks];
  const columns = Math.ceil(Math.sqrt(others.length));
  const width = columns * (wide + GAP) + GAP;
  const height = LINE + Math.ceil(others.length / columns) * (high + GAP);
  const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  if (!context) throw { kind: "image", message: t("error.canvas_grid") };
  context.imageSmoothingEnabled = scale < 1;

  const drawn = frames.flatMap(({ label }, at) => {
    const images = others.map((_, other) => cells[alongX ? other * x.ticks.length + at : at * x.ticks.length + other]);
    if (!images.some(Boolean)) return [];
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.fillStyle = "#1c2124";
    context.font = font(15, 600);
    context.textBaseline = "middle";
    context.fillText(label, GAP, LINE / 2, width - 2 * GAP);
    images.forEach((cell, other) => {
      const [column, row] = [other % columns, Math.floor(other / columns)];
      if (cell)
        context.drawImage(bitmap(cell.image), GAP + column * (wide + GAP), LINE + row * (high + GAP), wide, high);
    });
    return [context.getImageData(0, 0, width, height).data];
  });
  const last = drawn.length - 1;
  const gif = await encode({
    ...{ width, height, looped: true, loopCount: 0 },
    frames: drawn.map((data, at) => ({ data, delay: at === last ? END : PAUSE })),
  });
  return new Blob([gif], { type: "image/gif" });
}
