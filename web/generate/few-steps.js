/** LoRAs and models that were distilled for few steps, by their published names, and the numbers they need. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Form} Form */

/**
 * The settings of each method as its model card has them: its sampler, the steps if the name does not say them, and
 * guidance, of which 1 is none. All but LCM and TCD end their steps at the last timestep: "trailing", SGM Uniform in
 * the web UIs. A LoRA's name may show a thing, such as lightning or a Turbo, so its pattern is the stricter one.
 * @type {{ name: string, lora: RegExp, model: RegExp, sampler: string, steps: number, guidance: number }[]}
 */
const METHODS = [
  method("DMD2", /(^|[^a-z])dmd2(?![a-z])/, { sampler: "lcm" }),
  method("Hyper-SD CFG", /hyper[-_ ]?(sd|flux).*cfg/, { sampler: "ddim", steps: 8, guidance: 5 }),
  method("Hyper-SD", /hyper[-_ ]?(sd|flux)/, { sampler: "ddim", steps: 8 }),
  method("Lightning", /sdxl[-_ ]?lightning|lightning.*\d[-_ ]?step|\d[-_ ]?steps?.*lightning/, {}, /lightning/),
  method("TCD", /(^|[^a-z])tcd[-_ .]/, { sampler: "tcd" }),
  method("LCM", /(^|[^a-z])lcm([-_ .]|lora)/, { sampler: "lcm" }),
  method("Turbo", /sd[-_ ]?(xl)?[-_ ]?turbo/, { sampler: "euler_a" }, /turbo/),
];

/**
 * @param {string} name @param {RegExp} lora @param {{ sampler?: string, steps?: number, guidance?: number }} numbers
 * @param {RegExp} model
 */
function method(name, lora, { sampler = "euler", steps = 4, guidance = 1 }, model = lora) {
  return { name, lora, model, sampler, steps, guidance };
}

/**
 * What the name of a LoRA or a model says of the steps that it needs; null if it says nothing.
 * @param {string} file
 * @param {"lora" | "model"} kind
 * @returns {{ method: string, sampler: string, steps: number, guidance: number } | null}
 */
export function fewSteps(file, kind) {
  const name = file.toLowerCase();
  const found = METHODS.find((method) => method[kind].test(name));
  if (!found) return null;
  const said = Number(/(\d+)[-_ ]?steps?/.exec(name)?.[1] ?? 0);
  return {
    method: found.name,
    sampler: found.sampler,
    steps: said > 0 && said <= 16 ? said : found.steps,
    guidance: found.guidance,
  };
}

/**
 * The first file of the image, of its LoRAs and its model, that was distilled, if the form's numbers are not those that
 * it needs.
 * @param {State} state
 * @returns {{ file: string, method: string, change: Partial<Form> } | null}
 */
export function fewStepsAdvice({ form, files, base }) {
  const named = form.loras
    .filter(({ id, on, strength }) => id && on && strength > 0)
    .map(({ id }) => ({
      file: files.find((entry) => entry.id === id)?.name ?? "",
      kind: /** @type {const} */ ("lora"),
    }));
  const model = base.own.find(({ id }) => id === base.chosen)?.name ?? "";
  for (const { file, kind } of [...named, { file: model, kind: /** @type {const} */ ("model") }]) {
    const found = fewSteps(file, kind);
    if (!found) continue;
    const { method, sampler, steps, guidance } = found;
    /** @type {Partial<Form>} */
    const trailing = form.program === "diffusers" ? { spacing: "trailing" } : { schedule: "sgm_uniform" };
    const offered = base.info && !base.info.samplers.includes(sampler) ? {} : { sampler };
    /** @type {Partial<Form>} */
    const change = { steps, guidance, ...offered, ...(sampler === "lcm" || sampler === "tcd" ? {} : trailing) };
    const isSet = Object.entries(change).every(([field, value]) => form[/** @type {keyof Form} */ (field)] === value);
    return isSet ? null : { file, method, change };
  }
  return null;
}
