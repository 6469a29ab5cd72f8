/** A card -> one HTML file that needs nothing else: its words as text, its images and its map inside. */

import { filePage } from "../inspect/export.js";
import { step } from "../inspect/map.js";
import { t, word } from "../words.js";
import { legendOf } from "./content.js";
import { COLOURS, STEPS } from "./image.js";

/** @typedef {import("./content.js").Card} Card */

/** Pixels of a tile of the map and of the gap between its lanes, units across a block. */
const TILE = 9;
const LANE = 5;
const UNIT = 20;

const STYLE = `
:root { color-scheme: light; }
body { margin: 0; background: ${COLOURS.ground}; color: ${COLOURS.text}; font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem; border-top: 8px solid ${COLOURS.accent}; }
h1 { margin: 0 0 0.75rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2rem 0 0.5rem; font-size: 1.125rem; }
.kind { margin: 0; color: ${COLOURS.accent}; font-weight: 600; }
.verdict { font-size: 1.125rem; }
.fine, dt, figcaption { color: ${COLOURS.muted}; font-size: 0.875rem; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1rem; }
dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; }
.words { display: flex; flex-wrap: wrap; gap: 0.5rem; padding: 0; list-style: none; }
.words li { padding: 0.15rem 0.8rem; border-radius: 99px; background: ${COLOURS.soft}; color: ${COLOURS.accent}; }
.images { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 8rem), 1fr)); gap: 1rem; }
.pair { grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 26rem)); }
figure { margin: 0; }
img { display: block; width: 100%; height: auto; border-radius: 8px; }
img.pixels { image-rendering: pixelated; }
.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; }
.key::before { content: ""; display: inline-block; width: 16px; height: 11px; margin-inline-end: 0.4rem; }
${STEPS.map((colour, at) => `.key-${at}::before { background: ${colour}; }`).join("\n")}
.map { overflow-x: auto; }
.map svg { display: block; min-width: 30rem; width: 100%; height: auto; max-height: 20rem; }
`;

/** @param {Card} card @returns {Promise<string>} */
export async function cardPage(card) {
  const { page, text } = filePage(card.name, STYLE);
  const make = maker(page);
  const main = make("main", {}, [
    make("p", { class: "kind" }, card.kind),
    make("h1", {}, card.name),
    make("p", { class: "verdict" }, card.verdict),
    ...(card.works ? [make("p", { class: "fine" }, card.works)] : []),
    make(
      "dl",
      {},
      card.facts.map(([name, value]) => make("div", {}, [make("dt", {}, name), make("dd", {}, value)])),
    ),
    ...(card.words.length
      ? [
          make("h2", {}, t("training.triggers")),
          make(
            "ul",
            { class: "words" },
            card.words.map((word) => make("li", {}, word)),
          ),
        ]
      : []),
    ...images(card.pair, "images pair", card.smooth, make),
    ...(card.recipe ? [make("p", { class: "fine" }, card.recipe)] : []),
    ...images(card.series, "images", card.smooth, make),
    ...(card.strips.length
      ? [make("h2", {}, t("map.title")), ...card.strips.flatMap((strip) => map(strip, page, make)), legend(make)]
      : []),
    make("p", { class: "fine" }, card.made),
  ]);
  page.body.append(main);
  return text();
}

/** @typedef {(tag: string, attributes: Record<string, string>, inside?: string | Element[]) => HTMLElement} Make */

/** @param {Document} page @returns {Make} */
function maker(page) {
  return (tag, attributes, inside = []) => {
    const element = page.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...(typeof inside === "string" ? [inside] : inside));
    return element;
  };
}

/**
 * @param {import("./content.js").Picture[]} list @param {string} look @param {boolean} smooth @param {Make} make
 */
function images(list, look, smooth, make) {
  if (!list.length) return [];
  const figures = list.map(({ image, caption }) => {
    const { png, width, height } = image;
    const src = `data:image/png;base64,${base64(png)}`;
    const size = { width: String(width), height: String(height), class: smooth ? "" : "pixels" };
    return make("figure", {}, [make("img", { src, alt: caption, ...size }), make("figcaption", {}, caption)]);
  });
  return [make("div", { class: look }, figures)];
}

/** @param {Uint8Array} bytes */
function base64(bytes) {
  const piece = 0x8000;
  let text = "";
  for (let at = 0; at < bytes.length; at += piece) text += String.fromCharCode(...bytes.subarray(at, at + piece));
  return btoa(text);
}

/** @param {Make} make */
function legend(make) {
  const keys = legendOf().map((text, at) => make("span", { class: `key key-${at + 1}` }, text));
  return make("p", { class: "fine legend" }, [make("span", {}, t("map.change")), ...keys]);
}

/** @param {Card["strips"][number]} strip @param {Document} page @param {Make} make @returns {Element[]} */
function map({ component, columns, rows, width }, page, make) {
  const shape = (/** @type {string} */ tag, /** @type {Record<string, string | number>} */ attributes, text = "") => {
    const element = page.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    element.textContent = text;
    return element;
  };
  const tops = rows.map((_, i) => rows.slice(0, i).reduce((sum, { layers }) => sum + layers.length * TILE + LANE, 14));
  const high = tops[tops.length - 1] + rows[rows.length - 1].layers.length * TILE + 14;
  const title = word("component", component);
  const svg = shape("svg", { viewBox: `0 0 ${width * UNIT} ${high}`, role: "img", "aria-label": title });
  for (const { block, x, width: across, over, tiles } of columns) {
    const [left, wide] = [x * UNIT, (across - 0.14) * UNIT];
    if (over) svg.append(shape("text", { x: left, y: 9, "font-size": 9, fill: COLOURS.muted }, over));
    rows.forEach(({ layers }, i) =>
      svg.append(
        shape("rect", { x: left, y: tops[i], width: wide, height: layers.length * TILE - 1, fill: COLOURS.room }),
      ),
    );
    for (const { row, lane, line, across: at, of } of tiles) {
      const place = { x: left + (wide * at) / of, y: tops[lane] + line * TILE, width: wide / of, height: TILE - 1 };
      const tile = shape("rect", { ...place, fill: STEPS[step(row)] });
      tile.append(shape("title", {}, `${block.block}, ${row.path}`));
      svg.append(tile);
    }
  }
  return [make("p", { class: "fine" }, title), make("div", { class: "map" }, [svg])];
}
