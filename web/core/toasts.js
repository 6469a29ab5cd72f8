/** Short messages that go by themselves: state and action -> the next state. Pure. */

import { t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** Toasts on show; the oldest gives way. */
const MOST = 3;

/** @param {State} state @param {Action} action @returns {State} */
export function reduceToasts(state, action) {
  switch (action.type) {
    case "text/copied":
      return shown(state, t("said.copied", { what: action.what }));
    case "file/saved":
      return shown(state, t("said.saved", { name: action.name }));
    case "prompt/unweighable":
      return shown(state, t("said.unweighable"));
    case "toast/expired":
      return { ...state, toasts: state.toasts.filter(({ id }) => id !== action.id) };
    default:
      return state;
  }
}

/** @param {State} state @param {string} text @returns {State} */
function shown(state, text) {
  const id = 1 + Math.max(0, ...state.toasts.map((toast) => toast.id));
  return { ...state, toasts: [...state.toasts, { id, text }].slice(-MOST), announcement: text };
}
