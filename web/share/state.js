/** Links: what one waits for, and where its files lie. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** What a person does to the form: a link that still waits for files is not applied over it. */
const OWN_EDITS = new Set(["form/changed", "row/changed", "row/added", "row/removed", "blocks/edited", "tag/toggled"]);

/** @param {State} state @param {Action} action @returns {State} */
export function reduceShare(state, action) {
  if (state.link && OWN_EDITS.has(action.type)) return { ...state, link: { ...state.link, edited: true } };
  switch (action.type) {
    case "link/pending":
      return { ...state, link: action.link };
    case "link/forget":
      return { ...state, link: null, asked: null };
    case "link/asked":
      return { ...state, asked: action.asked };
    default:
      return state;
  }
}
