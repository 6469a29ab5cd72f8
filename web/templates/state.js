/** Styles and templates of prompts: what is opened and used. State and action -> the next state. Pure. */

/** @typedef {import("../types.d.ts").State} State */

/** At the start of a visit. @type {import("../types.d.ts").Templates} */
export const NO_TEMPLATES = { unfolded: false, fill: false, wildcards: [], styles: [], chosen: [] };

/** @param {State} state @param {import("../types.d.ts").Action} action @returns {State} */
export function reduceTemplates(state, action) {
  if (action.type !== "templates/changed") return state;
  return { ...state, templates: { ...state.templates, ...action.change } };
}
