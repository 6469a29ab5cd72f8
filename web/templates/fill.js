/** Opened styles and wildcards, and the form's prompts with them. Loaded when they are first wanted. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Templates} Templates */
/** @typedef {Pick<import("../engine/engine.js").EngineClient, "prompted">} Client */

/** The text of each opened file of wildcards, by its name. @type {Map<string, string>} */
const wildcards = new Map();
/** The text of the opened styles.csv. */
let styles = "";

/**
 * Reads text files and a styles.csv; returns what changes.
 * @param {File[]} files @param {Client} client @returns {Promise<Partial<Templates>>}
 */
export async function opened(files, client) {
  /** @type {Partial<Templates>} */
  const change = {};
  for (const file of files) {
    const text = await file.text();
    if (/\.csv$/i.test(file.name)) {
      styles = text;
      Object.assign(change, { styles: await client.prompted("styleNames", { csv: text }), chosen: [] });
    } else {
      wildcards.set(file.name.replace(/\.txt$/i, ""), text);
      Object.assign(change, { wildcards: [...wildcards.keys()], fill: true });
    }
  }
  return change;
}

/** Lets go of all opened files. @returns {Partial<Templates>} */
export function closed() {
  wildcards.clear();
  styles = "";
  return { wildcards: [], styles: [], chosen: [], fill: false };
}

/**
 * The state with the prompts that an image is drawn of: with the chosen styles, and what its seed chooses from
 * templates.
 * @param {State} state @param {Client} client @returns {Promise<State>}
 */
export async function filled(state, client) {
  const { form, templates } = state;
  let { prompt, negative } = form;
  if (templates.chosen.length) {
    [prompt, negative] = await client.prompted("applyStyles", {
      prompt,
      negative,
      csv: styles,
      chosen: templates.chosen,
    });
  }
  if (templates.fill) {
    const given = { seed: String(form.seed), names: [...wildcards.keys()], texts: [...wildcards.values()] };
    const fill = (/** @type {string} */ template) => client.prompted("fillTemplate", { ...given, template });
    [prompt, negative] = [await fill(prompt), await fill(negative)];
  }
  return { ...state, form: { ...form, prompt, negative } };
}
