/** A finished picture -> a PNG file among the visitor's downloads. */

/** @param {import("./types.d.ts").State["result"]} result @param {"without" | "with"} which */
export function saveResult(result, which) {
  const picture = result?.[which];
  if (!result || !picture) return;
  const { prompt, seed } = result.recipe;
  const loras = result.loras.map(({ label, strength }) => `${label} ${strength}`).join(" ");
  const name = `${prompt} seed ${seed} ${which === "with" ? loras : "no LoRA"}`.replace(/[^\p{L}\p{N}.+-]+/gu, "_").slice(0, 100);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([picture.png], { type: "image/png" }));
  link.download = `${name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
