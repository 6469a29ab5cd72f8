/**
 * Previews -> a zip, image files beside the LoRAs, or copies of the LoRAs with their image inside. Nothing is
 * overwritten.
 */

import { rootOf } from "../files/opened.js";
import { isThere, pickWritable, writable, writeNew } from "../library/handles.js";
import { t } from "../words.js";
import { download } from "../world.js";
import { copies } from "./embed.js";
import { copyName, pathWithin, previewName } from "./plan.js";

/** @typedef {{ id: string, path: string, image: Blob, container: string }} Made */
/** @typedef {NonNullable<import("../types.d.ts").Previews["saved"]>} Saved */

/** Bytes of new LoRAs that a zip takes where no folder can be written to. */
const MOST_ZIPPED = 1e9;

/** @param {Made[]} images @returns {Promise<string>} the file's name */
export async function saveZip(images) {
  const { downloadZip } = await import("client-zip");
  const named = new Map(images.map(({ path, image }) => [previewName(path), image]));
  const files = [...named].map(([name, input]) => ({ name, input }));
  return download("lora-previews.zip", await downloadZip(files).blob());
}

/**
 * Into the folders that the files came from, or one that the user picks.
 * @param {Made[]} images
 * @returns {Promise<Saved | null>} null if the dialogue was closed
 */
export async function saveInto(images) {
  /** @type {FileSystemDirectoryHandle | null} */
  let picked = null;
  let [n, there] = [0, 0];
  const names = new Set();
  for (const [root, group] of Map.groupBy(images, ({ id }) => rootOf(id))) {
    const folder = (root.handle && (await writable(root.handle))) ?? (picked ??= await pickWritable());
    if (!folder) break;
    names.add(folder.name);
    for (const { path, image } of group)
      if (await writeNew(folder, previewName(pathWithin(path, root.name)), image)) n++;
      else there++;
  }
  return names.size ? { n, there, folder: [...names].join(", "), embedded: false } : null;
}

/**
 * Copies into a folder that the user picks; a zip of them where the browser writes to none.
 * @param {import("./maker.js").World} world @param {Made[]} images
 * @returns {Promise<Saved | null>}
 */
export async function saveEmbedded(world, images) {
  const fit = images.filter(({ container }) => container === "safetensors");
  if (!fit.length) throw { kind: "container", message: t("previews.no_safetensors") };
  if (!("showDirectoryPicker" in window)) return zipped(world, fit);
  const folder = await pickWritable();
  if (!folder) return null;
  const single = new Set(fit.map(({ id }) => rootOf(id))).size === 1;
  const { name } = rootOf(fit[0].id);
  let [n, there] = [0, 0];
  for await (const { path, file } of copies(world, fit)) {
    const own = single ? pathWithin(path, name) : path;
    const free = (await isThere(folder, own)) ? copyName(own) : own;
    if (await writeNew(folder, free, file)) n++;
    else there++;
  }
  return { n, there, folder: folder.name, embedded: true };
}

/** @param {import("./maker.js").World} world @param {Made[]} images @returns {Promise<Saved>} */
async function zipped(world, images) {
  const bytes = world
    .getState()
    .look.folder?.rows.filter(({ id }) => images.some((image) => image.id === id))
    .reduce((sum, { summary }) => sum + (summary?.size ?? 0), 0);
  if ((bytes ?? 0) > MOST_ZIPPED) throw { kind: "large", message: t("previews.too_large") };
  const { downloadZip } = await import("client-zip");
  const files = (async function* () {
    for await (const { path, file } of copies(world, images)) yield { name: path, input: file };
  })();
  const name = download("loras-with-thumbnails.zip", await downloadZip(files).blob());
  return { n: images.length, there: 0, folder: name, embedded: true };
}
