/** A card -> one PNG. */

import { step } from "../inspect/map.js";
import { legendOf } from "./content.js";
import { bitmap, font } from "../gallery/grid-image.js";
import { t, word } from "../words.js";

/** @typedef {import("./content.js").Card} Card */
/** @typedef {import("./content.js").Picture} Picture */
/** @typedef {OffscreenCanvasRenderingContext2D} Context */

/** Pixels: the card's width, its margin, and the gap between its parts. */
const WIDE = 1200;
const MARGIN = 56;
const ROOM = WIDE - 2 * MARGIN;
const GAP = 28;
/** Height of a tile of the map, room for the names of its lanes, and the gap between them. */
const TILE = 9;
const NAMES = 150;
const LANE = 5;

/** The light colours of tokens.css: a card is read on white wherever it is put. */
export const COLOURS = {
  ...{ ground: "#faf9f6", surface: "#ffffff", line: "#e3dfd8", text: "#1c2124", muted: "#565f66", accent: "#0a6b67" },
  ...{ soft: "#e2f0ee", room: "#efece6" },
};
/** Not measured, then from weak to more than usual. */
export const STEPS = ["#b9bbbd", "#cfe8e4", "#a5d5cf", "#73bcb5", "#419d97", "#1a7a76", "#084c4a", "#c2571b"];

/** What is drawn from top to bottom: each part gives its height, and draws only on a context. */
class Pen {
  y = MARGIN;
  /** Without one it only measures. @type {Context | null} */
  #context;
  #measure;

  /** @param {Context} measure @param {Context | null} context */
  constructor(measure, context) {
    this.#measure = measure;
    this.#context = context;
  }

  /** @param {(context: Context) => void} draw @param {number} height */
  part(draw, height) {
    if (this.#context) draw(this.#context);
    this.y += height;
  }

  /**
   * @param {string} text
   * @param {{ size: number, weight?: number, colour?: string, x?: number, wide?: number }} look
   */
  text(text, { size, weight = 400, colour = COLOURS.text, x = MARGIN, wide = ROOM }) {
    this.#measure.font = font(size, weight);
    const lines = wrapped(text, (part) => this.#measure.measureText(part).width <= wide);
    const high = Math.round(size * 1.4);
    for (const line of lines)
      this.part((context) => {
        context.font = font(size, weight);
        context.fillStyle = colour;
        context.fillText(line, x, this.y + high / 2);
      }, high);
  }

  /** @param {string} text @param {number} size @param {number} [weight] */
  width(text, size, weight = 400) {
    this.#measure.font = font(size, weight);
    return this.#measure.measureText(text).width;
  }

  /** @param {number} gap */
  skip(gap) {
    this.y += gap;
  }
}

/**
 * A text in lines that fit: broken at spaces, between characters of Chinese, and within words that are too long.
 * @param {string} text @param {(line: string) => boolean} fits
 */
export function wrapped(text, fits) {
  const parts = text.match(/[\u3000-\u9fff\uff00-\uffef]|[^\s\u3000-\u9fff\uff00-\uffef]+\s*|\s+/g) ?? [];
  /** @type {string[]} */
  const lines = [];
  let line = "";
  for (const part of parts.flatMap((part) => (fits(part.trimEnd()) ? [part] : [...part]))) {
    if (line && !fits((line + part).trimEnd())) {
      lines.push(line.trimEnd());
      line = "";
    }
    line += part;
  }
  return line.trim() ? [...lines, line.trimEnd()] : lines;
}

/** @param {Card} card @returns {Promise<Blob>} */
export async function cardImage(card) {
  const measure = new OffscreenCanvas(1, 1).getContext("2d");
  if (!measure) throw { kind: "image", message: t("error.canvas_image") };
  const high = drawn(card, new Pen(measure, null));
  const canvas = new OffscreenCanvas(WIDE, high);
  const context = /** @type {Context} */ (canvas.getContext("2d"));
  context.fillStyle = COLOURS.ground;
  context.fillRect(0, 0, WIDE, high);
  context.fillStyle = COLOURS.accent;
  context.fillRect(0, 0, WIDE, 10);
  context.textBaseline = "middle";
  drawn(card, new Pen(measure, context));
  return canvas.convertToBlob({ type: "image/png" });
}

/** @param {Card} card @param {Pen} pen @returns {number} the card's height */
function drawn(card, pen) {
  pen.text(card.kind, { size: 20, weight: 600, colour: COLOURS.accent });
  pen.text(card.name, { size: 44, weight: 650 });
  pen.skip(10);
  pen.text(card.verdict, { size: 24 });
  if (card.works) pen.text(card.works, { size: 20, colour: COLOURS.muted });
  pen.skip(GAP);
  facts(card.facts, pen);
  if (card.words.length) {
    pen.skip(GAP);
    pen.text(t("training.triggers"), { size: 17, colour: COLOURS.muted });
    chips(card.words, pen);
  }
  if (card.pair.length) {
    pen.skip(GAP);
    pictures(card.pair, Math.min(card.pair.length, 2), card.smooth, pen);
    pen.text(card.recipe, { size: 17, colour: COLOURS.muted });
  }
  if (card.series.length) {
    pen.skip(GAP);
    pictures(card.series, Math.min(card.series.length, 4), card.smooth, pen);
  }
  if (card.strips.length) {
    pen.skip(GAP);
    pen.text(t("map.title"), { size: 24, weight: 600 });
    for (const strip of card.strips) map(strip, pen);
    legend(pen);
  }
  pen.skip(GAP);
  pen.text(card.made, { size: 17, colour: COLOURS.muted });
  return pen.y + MARGIN - GAP;
}

/** In columns, each name above its value. @param {Card["facts"]} list @param {Pen} pen */
function facts(list, pen) {
  const columns = 4;
  const wide = ROOM / columns - 20;
  for (let at = 0; at < list.length; at += columns) {
    const top = pen.y;
    let bottom = top;
    list.slice(at, at + columns).forEach(([name, value], column) => {
      pen.y = top;
      const x = MARGIN + (column * ROOM) / columns;
      pen.text(name, { size: 17, colour: COLOURS.muted, x, wide });
      pen.text(value, { size: 21, weight: 550, x, wide });
      bottom = Math.max(bottom, pen.y);
    });
    pen.y = bottom + 12;
  }
}

/** @param {string[]} words @param {Pen} pen */
function chips(words, pen) {
  const [size, high] = [20, 38];
  let x = MARGIN;
  pen.skip(6);
  for (const text of words) {
    const wide = Math.min(ROOM, pen.width(text, size) + 32);
    if (x + wide > MARGIN + ROOM) {
      x = MARGIN;
      pen.skip(high + 8);
    }
    const left = x;
    pen.part((context) => {
      context.fillStyle = COLOURS.soft;
      context.beginPath();
      context.roundRect(left, pen.y, wide, high, high / 2);
      context.fill();
      context.fillStyle = COLOURS.accent;
      context.font = font(size);
      context.fillText(text, left + 16, pen.y + high / 2, wide - 32);
    }, 0);
    x += wide + 8;
  }
  pen.skip(high);
}

/** @param {Picture[]} list @param {number} columns @param {boolean} smooth @param {Pen} pen */
function pictures(list, columns, smooth, pen) {
  const gap = 16;
  const wide = Math.min(520, (ROOM - gap * (columns - 1)) / columns);
  for (let at = 0; at < list.length; at += columns) {
    const row = list.slice(at, at + columns);
    const high = Math.max(...row.map(({ image }) => (wide * image.height) / image.width));
    pen.part((context) => {
      row.forEach(({ image, caption }, column) => {
        const x = MARGIN + column * (wide + gap);
        context.imageSmoothingEnabled = smooth || image.width > wide;
        context.imageSmoothingQuality = "high";
        context.drawImage(bitmap(image), x, pen.y, wide, (wide * image.height) / image.width);
        context.fillStyle = COLOURS.text;
        context.font = font(18);
        context.fillText(caption, x, pen.y + high + 16, wide);
      });
    }, high + 36);
  }
}

/** @param {Pen} pen */
function legend(pen) {
  const [size, high, key] = [14, 24, 16];
  pen.text(t("map.change"), { size, colour: COLOURS.muted });
  pen.part((context) => {
    let x = MARGIN;
    context.font = font(size);
    for (const [at, text] of legendOf().entries()) {
      context.fillStyle = STEPS[at + 1];
      context.fillRect(x, pen.y + (high - 12) / 2, key, 12);
      context.fillStyle = COLOURS.muted;
      context.fillText(text, x + key + 6, pen.y + high / 2);
      x += key + 24 + context.measureText(text).width;
    }
  }, high);
}

/**
 * A network: columns of blocks, lanes of layers, as on the page.
 * @param {Card["strips"][number]} strip @param {Pen} pen
 */
function map({ component, columns, rows, width }, pen) {
  pen.text(word("component", component), { size: 17, colour: COLOURS.muted });
  const unit = Math.min(48, (ROOM - NAMES) / width);
  const tops = rows.map((_, i) => rows.slice(0, i).reduce((sum, { layers }) => sum + layers.length * TILE + LANE, 16));
  const high = tops[tops.length - 1] + rows[rows.length - 1].layers.length * TILE;
  pen.part((context) => {
    context.font = font(14);
    context.fillStyle = COLOURS.muted;
    rows.forEach(({ name, layers }, i) =>
      context.fillText(word("lane", name), MARGIN, pen.y + tops[i] + (layers.length * TILE) / 2, NAMES - 10),
    );
    for (const { x, width: across, over, under, tiles } of columns) {
      const left = MARGIN + NAMES + x * unit;
      const wide = (across - 0.14) * unit;
      context.fillStyle = COLOURS.muted;
      context.font = font(13, 600);
      if (over) context.fillText(over, left, pen.y + 6);
      context.font = font(12);
      if (unit > 14 || Number(under) % 2 === 0) context.fillText(under, left, pen.y + high + 10, Math.max(wide, 16));
      context.fillStyle = COLOURS.room;
      rows.forEach(({ layers }, i) => context.fillRect(left, pen.y + tops[i], wide, layers.length * TILE - 1));
      for (const { row, lane, line, across: at, of } of tiles) {
        context.fillStyle = STEPS[step(row)];
        context.fillRect(left + (wide * at) / of, pen.y + tops[lane] + line * TILE, wide / of, TILE - 1);
      }
    }
  }, high + 28);
}
