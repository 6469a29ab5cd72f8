/** The guided minute: what the user has done with the demo so far. State and action -> the next state. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").GuideStep} GuideStep */

/** @param {State} state @param {import("../types.d.ts").Action} action @returns {State} */
export function reduceGuide(state, action) {
  if (action.type === "demo/try") return state.guide ? state : { ...state, guide: [] };
  if (action.type === "guide/closed") return { ...state, guide: null };
  const step = state.guide && stepOf(state, action);
  return !step || state.guide?.includes(step) ? state : { ...state, guide: [...(state.guide ?? []), step] };
}

/**
 * The step that an action completes.
 * @param {State} state
 * @param {import("../types.d.ts").Action} action
 * @returns {GuideStep | null}
 */
function stepOf(state, action) {
  switch (action.type) {
    case "files/read":
      return isBroken(state, action.id) ? "fix" : "look";
    case "files/select":
      return isBroken(state, action.id) ? "fix" : null;
    case "run/result":
      return action.result.with ? "draw" : null;
    case "row/changed":
      return "strength" in action.change ? "slide" : "id" in action.change ? "swap" : null;
    default:
      return null;
  }
}

/** @param {State} state @param {string} id */
function isBroken({ demo }, id) {
  return demo.catalogue?.loras.some(({ file, broken }) => broken && id === `demo:${file}`) ?? false;
}
