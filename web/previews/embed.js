/** LoRAs and their previews -> new files that hold the image as the thumbnail of modelspec, one at a time. */

import { onAbort } from "../core/jobs.js";
import { keptOf } from "../files/opened.js";
import { t } from "../words.js";

/** The key, and what the specification recommends for it: JPEG, 256 by 256. */
const KEY = "modelspec.thumbnail";
const SIDE = 256;
const QUALITY = 0.85;

/**
 * Each file is there until the next one is asked for.
 * @param {import("./maker.js").World} world
 * @param {import("./save.js").Made[]} images
 * @returns {AsyncGenerator<{ path: string, file: File }>}
 */
export async function* copies({ inspector, jobs }, images) {
  for (const { id, path, image } of images) {
    const place = keptOf(id);
    if (!place) continue;
    const name = path.split("/").at(-1) ?? path;
    const edit = /** @type {const} */ ({
      ...{ kind: "metadata", remove: [], strip_private: false, repair_hashes: false },
      set: [[KEY, await thumbnail(image)]],
    });
    const job = jobs.start({
      ...{ lane: "edit", kind: "embed", name },
      run: (signal, progress) =>
        onAbort(
          signal,
          () => inspector.stopEdit(),
          // A session of its own, which no page holds: the next file takes its disk space.
          () =>
            inspector.applyEdit(
              /** @type {any} */ (edit),
              [place],
              { name, session: crypto.randomUUID() },
              ({ done, total }) => progress(done / Math.max(1, total)),
            ),
        ),
    });
    const made = await job?.done;
    if (made) yield { path, file: made.file };
  }
}

/** The image as a small JPEG's data: address. @param {Blob} image @returns {Promise<string>} */
export async function thumbnail(image) {
  const bitmap = await createImageBitmap(image);
  const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  if (!context) throw { kind: "image", message: t("error.canvas_image") };
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return addressOf(await canvas.convertToBlob({ type: "image/jpeg", quality: QUALITY }));
}

/** @param {Blob} blob @returns {Promise<string>} */
export function addressOf(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(String(reader.result));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
