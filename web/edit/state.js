/** What the panel "Change this file" holds -> the edit that the engine makes, and the new file's name. Pure. */

/** @typedef {import("../types.d.ts").Change} Change */
/** @typedef {import("../types.d.ts").ChangeForm} ChangeForm */
/** @typedef {import("../engine/types.d.ts").Edit} Edit */

/** @type {ChangeForm} */
export const FIRST_FORM = {
  to: "",
  dtype: "",
  alpha: "usual",
  asLora: false,
  rank: null,
  drop: false,
  keepLeftovers: false,
  without: [],
  withoutKeys: [],
  zeroNonFinite: false,
  toBlocks: null,
  rule: "energy",
  fixed: 16,
  energy: 98,
  strengths: {},
  set: [],
  remove: [],
  stripPrivate: false,
  repairHashes: false,
  strength: 1,
  others: [],
  method: "linear",
  density: 50,
  seed: 0,
  position: 50,
  donors: {},
};

/** @type {Change} */
export const FIRST_CHANGE = {
  kind: "convert",
  form: FIRST_FORM,
  status: "idle",
  done: 0,
  preview: null,
  result: null,
  error: null,
};

/** Kinds whose preview reads headers only, so that it can follow every key press. */
const QUICK = ["convert", "blocks", "metadata", "bake", "export"];

/** Whether the preview can follow every key press. @param {Change} change */
export function isQuick({ kind, form }) {
  return QUICK.includes(kind) && !(kind === "convert" && form.others.length);
}

/** A conversion that keeps names, dtype, algorithms and block weights. @param {ChangeForm} form */
function conversion({ alpha, drop, keepLeftovers, without, withoutKeys, zeroNonFinite }) {
  return {
    kind: /** @type {const} */ ("convert"),
    to: null,
    dtype: null,
    alpha,
    as_lora: false,
    rank: null,
    drop,
    keep_leftovers: keepLeftovers,
    strengths: {},
    without,
    without_keys: withoutKeys,
    zero_non_finite: zeroNonFinite,
    to_blocks: null,
  };
}

/**
 * The edit, and the ids of the files after the one on show that it takes.
 * @param {Change} change
 * @returns {{ edit: Edit, others: string[] }}
 */
export function editOf({ kind, form }) {
  const { to, dtype, asLora, rank, drop, strengths, toBlocks } = form;
  const others = form.others.map(({ id }) => id);
  const convert = conversion(form);
  const same = { to: to || null, dtype: dtype || null };
  const rule = form.rule === "fixed" ? { fixed: form.fixed } : { energy: form.energy / 100 };
  switch (kind) {
    case "convert":
      return { edit: { ...convert, ...same, as_lora: asLora, rank, to_blocks: toBlocks }, others };
    case "blocks":
      return { edit: { ...convert, keep_leftovers: true, strengths }, others: [] };
    case "resize":
      return { edit: { kind, rule, most: null, ...same, drop }, others: [] };
    case "metadata": {
      const set = form.set.filter(([key]) => key.trim());
      return {
        edit: { kind, set, remove: form.remove, strip_private: form.stripPrivate, repair_hashes: form.repairHashes },
        others: [],
      };
    }
    case "merge":
      return { edit: { kind, parts: mergeParts(form), options: mergeOptions(form) }, others };
    case "bake":
      return {
        edit: { kind, parts: form.others.map(({ strength }) => ({ strength, strengths: {} })) },
        others,
      };
    case "extract":
      return {
        edit: { kind, rank: form.fixed, to: to || "kohya", dtype: dtype || "F16" },
        others,
      };
    case "export":
      return { edit: { kind }, others: [] };
  }
}

/**
 * The strengths of a merge's files; block by block each has the weight 1 in what it donates.
 * @param {ChangeForm} form
 */
function mergeParts({ method, donors, strength, others }) {
  const weights = (/** @type {number} */ file) =>
    Object.fromEntries(Object.entries(donors).map(([block, donor]) => [block, donor === file ? 1 : 0]));
  return [strength, ...others.map(({ strength }) => strength)].map((strength, file) => ({
    strength,
    strengths: method === "blocks" ? weights(file) : {},
  }));
}

/** @param {ChangeForm} form @returns {import("../engine/types.d.ts").MergeOptions} */
function mergeOptions({ method, density, seed, position, rule, fixed, dtype, drop }) {
  return {
    method: method === "blocks" ? "linear" : method,
    density: density / 100,
    seed,
    position: position / 100,
    rule: rule === "fixed" ? { fixed } : null,
    to: null,
    dtype: dtype || null,
    drop,
  };
}

/**
 * An edit of one file as the panel holds it; null for one that it has no form for.
 * @param {Edit} edit
 * @returns {{ kind: import("../types.d.ts").ChangeKind, form: Partial<ChangeForm> } | null}
 */
export function changeOf(edit) {
  switch (edit.kind) {
    case "convert": {
      const {
        to,
        dtype,
        alpha,
        as_lora,
        rank,
        drop,
        keep_leftovers,
        strengths,
        without,
        without_keys,
        zero_non_finite,
        to_blocks,
      } = edit;
      if (Object.keys(strengths).length) return { kind: "blocks", form: { strengths } };
      return {
        kind: "convert",
        form: {
          to: to ?? "",
          dtype: dtype ?? "",
          alpha,
          asLora: as_lora,
          rank,
          drop,
          keepLeftovers: keep_leftovers,
          without,
          withoutKeys: without_keys,
          zeroNonFinite: zero_non_finite,
          toBlocks: to_blocks,
        },
      };
    }
    case "resize": {
      const { rule, to, dtype, drop } = edit;
      const same = { to: to ?? /** @type {const} */ (""), dtype: dtype ?? /** @type {const} */ (""), drop };
      if ("fixed" in rule) return { kind: "resize", form: { ...same, rule: "fixed", fixed: rule.fixed } };
      return "energy" in rule ? { kind: "resize", form: { ...same, rule: "energy", energy: 100 * rule.energy } } : null;
    }
    case "metadata":
      return {
        kind: "metadata",
        form: {
          set: edit.set,
          remove: edit.remove,
          stripPrivate: edit.strip_private,
          repairHashes: edit.repair_hashes,
        },
      };
    case "export":
      return { kind: "export", form: {} };
    default:
      return null;
  }
}

/** Whether anything would change. @param {Change} change */
export function asksForSomething({ kind, form }) {
  const {
    to,
    dtype,
    alpha,
    asLora,
    drop,
    without,
    withoutKeys,
    zeroNonFinite,
    toBlocks,
    strengths,
    set,
    remove,
    stripPrivate,
    repairHashes,
    others,
  } = form;
  if (kind === "convert")
    return !!(
      to ||
      dtype ||
      asLora ||
      drop ||
      alpha !== "usual" ||
      without.length ||
      withoutKeys.length ||
      zeroNonFinite ||
      toBlocks
    );
  if (kind === "blocks") return Object.values(strengths).some((strength) => strength !== 1);
  if (kind === "metadata") return set.some(([key]) => key.trim()) || remove.length > 0 || stripPrivate || repairHashes;
  if (kind === "merge" && form.method === "slerp") return others.length === 1;
  if (["merge", "bake", "extract"].includes(kind)) return others.length > 0;
  return true;
}

/** "cat.safetensors", changed to PEFT's names -> "cat.peft.safetensors". @param {string} name @param {Change} change */
export function newName(name, { kind, form }) {
  const stem = name.replace(/\.(safetensors|ckpt|pth?|bin|gguf|zip)$/i, "");
  const { to, dtype, asLora, toBlocks, rule, fixed, energy, stripPrivate } = form;
  const names = { F32: "fp32", F16: "fp16", BF16: "bf16", "": "" };
  const told = {
    convert:
      [to, asLora && !to ? "lora" : "", toBlocks ? `blocks${toBlocks}` : "", names[dtype]].filter(Boolean).join(".") ||
      "fixed",
    blocks: "blocks",
    resize: rule === "fixed" ? `rank${fixed}` : `energy${energy}`,
    metadata: stripPrivate ? "private" : "meta",
    merge: form.method === "linear" ? "merged" : `merged.${form.method}`,
    bake: "baked",
    extract: `lora.rank${fixed}`,
    export: "",
  };
  return [stem, told[kind], "safetensors"].filter(Boolean).join(".");
}

/**
 * What a change of the panel makes of it: what was planned or made before is of something else.
 * @param {Change} change
 * @param {import("../types.d.ts").Action} action
 * @returns {Change}
 */
export function changeReduce(change, action) {
  switch (action.type) {
    case "change/opened":
      return { ...FIRST_CHANGE, kind: action.kind, form: { ...FIRST_FORM, ...action.form } };
    case "change/edited":
      return {
        ...change,
        form: { ...change.form, ...action.change },
        status: "idle",
        preview: null,
        result: null,
        error: null,
      };
    case "change/plan":
      return { ...change, status: "planning", done: 0, error: null };
    case "change/planned":
      return { ...change, status: "planned", preview: action.preview };
    case "change/make":
      return { ...change, status: "writing", done: 0, error: null, result: null };
    case "change/progress":
      return { ...change, done: action.done };
    case "change/made":
      return { ...change, status: "made", preview: action.preview, result: action.result };
    case "change/failed":
      return { ...change, status: "failed", error: action.error };
    case "change/stopped":
      return { ...change, status: "idle" };
    default:
      return change;
  }
}
