/** Images, texts and edited files -> files among the user's downloads, by their names. The browser gives each a name of its own: nothing is overwritten. */

import { drawingOf } from "./state.js";
import { gridImage } from "./grid-image.js";
import { download } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */

/** @param {State["result"]} result @param {"without" | "with"} which */
export function saveResult(result, which) {
  const image = result?.[which];
  return result && image && save(image.png, nameOf(result.recipe, which === "with" ? result.loras : []));
}

/** @param {State} state @param {number} id */
export function saveDrawing(state, id) {
  const drawing = drawingOf(state, id);
  return drawing && save(drawing.image.png, nameOf(drawing.recipe, drawing.loras));
}

/** @param {State["grid"]} grid */
export async function saveGrid(grid) {
  return grid && save(await gridImage(grid), `grid ${grid.title}`);
}

/** @param {import("../engine/types.d.ts").Recipe} recipe @param {{ label: string, strength: number }[]} loras */
function nameOf({ prompt, seed }, loras) {
  const acting = loras.map(({ label, strength }) => `${label} ${strength}`).join(" ");
  return `${prompt} seed ${seed} ${acting || "no LoRA"}`;
}

/** @param {BlobPart} png @param {string} name */
function save(png, name) {
  return download(`${name.replace(/[^\p{L}\p{N}.+-]+/gu, "_").slice(0, 100)}.png`, new Blob([png], { type: "image/png" }));
}

/** @param {string} name @param {string} text @param {string} type */
export function saveText(name, text, type) {
  return download(name, new Blob([text], { type }));
}
