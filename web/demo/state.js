/** The bundled demo: listed, on its way, there. Pure. */

import { demoForm, demoNumbers } from "../form.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @param {State} state @param {Action} action @returns {State} */
export function reduceDemo(state, action) {
  switch (action.type) {
    case "demo/listed":
      return {
        ...state,
        demo: { ...state.demo, catalogue: action.catalogue },
        base: { ...state.base, usual: demoNumbers(action.catalogue) },
        form: demoForm(state.form, action.catalogue),
      };
    case "demo/progress": {
      const { received, total } = action;
      return { ...state, demo: { ...state.demo, status: "loading", received, total } };
    }
    case "demo/ready":
      return { ...state, demo: { ...state.demo, status: "ready" } };
    case "demo/failed":
      return { ...state, demo: { ...state.demo, status: "none" } };
    default:
      return state;
  }
}
