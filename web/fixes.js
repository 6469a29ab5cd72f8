/** A report -> the changes that mend what is wrong with the file, each as the panel "Change this file" holds it. Pure. */

/** @typedef {import("./engine/types.d.ts").Report} Report */
/** @typedef {{ label: string, kind: import("./types.d.ts").ChangeKind, form: Partial<import("./types.d.ts").ChangeForm> }} Fix */

/** Algorithms that can become a LoRA without the base model. */
const COMPOSED = ["loha", "loha_tucker", "lokr", "lokr_tucker", "locon_tucker"];
/** The names that each program knows best. @type {Record<string, import("./engine/types.d.ts").Target>} */
const NAMES = { a1111: "kohya", forge: "kohya", comfyui: "kohya", invokeai: "kohya", stable_diffusion_cpp: "kohya", diffusers: "diffusers" };

/** What mends a problem; null where only another file helps. @param {Report} report @param {import("./engine/types.d.ts").Problem} problem @returns {Fix | null} */
export function fixOf(report, { class: kind, modules }) {
  if (report.kind !== "adapter") return null;
  switch (kind) {
    case "unmatched_keys":
    case "incomplete_pair":
      return { label: "Leave these out", kind: "convert", form: { drop: true } };
    case "shape_mismatch":
    case "rank_mismatch":
      return { label: "Leave these layers out", kind: "convert", form: { drop: true } };
    case "nan_inf":
      return modules.length ? { label: "Leave these layers out", kind: "convert", form: { drop: true, without: modules } } : null;
    case "ambiguous_alpha":
    case "bad_config":
      return { label: "Bake the strength into the numbers", kind: "convert", form: { alpha: "baked" } };
    default:
      return null;
  }
}

/** What makes a program take all of the file, as far as another spelling or algorithm can. @param {Report} report @param {import("./engine/types.d.ts").LoaderVerdict} verdict @returns {Fix | null} */
export function fixFor(report, { loader, label, status }) {
  const to = NAMES[loader];
  if (status === "applied" || !to || report.problems.some(({ severity }) => severity === "refuse")) return null;
  if (report.container !== "safetensors" && report.container !== "zip") return { label: `Make a safetensors file for ${label}`, kind: "convert", form: { to, drop: true } };
  const asLora = report.algorithms.some((name) => COMPOSED.includes(name));
  return { label: `Make a file for ${label}`, kind: "convert", form: { to, asLora, drop: true } };
}
