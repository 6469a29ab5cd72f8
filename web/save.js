/** Pictures, texts and edited files -> files among the visitor's downloads. The browser gives each a name of its own: nothing is overwritten. */

/** @param {import("./types.d.ts").State["result"]} result @param {"without" | "with"} which */
export function saveResult(result, which) {
  const picture = result?.[which];
  if (!result || !picture) return;
  const { prompt, seed } = result.recipe;
  const loras = result.loras.map(({ label, strength }) => `${label} ${strength}`).join(" ");
  const name = `${prompt} seed ${seed} ${which === "with" ? loras : "no LoRA"}`.replace(/[^\p{L}\p{N}.+-]+/gu, "_").slice(0, 100);
  saveBlob(`${name}.png`, new Blob([picture.png], { type: "image/png" }));
}

/** @param {string} name @param {string} text @param {string} type */
export function saveText(name, text, type) {
  saveBlob(name, new Blob([text], { type }));
}

/** @param {string} name @param {Blob} blob one on disk is not read into memory */
export function saveBlob(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
