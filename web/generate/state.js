/** The form: what a person enters, what a recipe or the last visit brings. Pure. */

import { withBase } from "./base-state.js";
import { EMPTY_ROW, checkedForm, withRow, withoutRow } from "../form.js";
import { strengthsText } from "../inspect/blocks.js";
import { loraOptions, sizeStep, withTag } from "../select.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @param {State} state @param {Action} action @returns {State} */
export function reduceForm(state, action) {
  switch (action.type) {
    case "start/taken":
      return { ...state, start: action.start, mask: null, remark: null };
    case "mask/taken":
      return { ...state, mask: action.mask };
    case "restored": {
      const { change, model, remark } = action;
      const next = model === state.base.chosen ? state : withBase(state, model);
      const form = checkedForm({ ...next.form, ...change }, 1);
      // What was restored stays as it is, whatever model is opened next.
      const announcement = [remark.title, ...remark.details].join(". ");
      return { ...next, form, remark, link: null, base: { ...next.base, usual: {} }, announcement };
    }
    case "remark/made":
      return { ...state, remark: action.remark, announcement: action.remark?.title ?? state.announcement };
    case "session/restored":
      return {
        ...state,
        form: action.form ?? state.form,
        base: { ...state.base, usual: action.usual ?? state.base.usual },
        session: { ...state.session, rows: action.rows, kept: true },
      };
    case "tokens/counted":
      return { ...state, tokens: action.tokens };
    case "blocks/edited": {
      const blocks = strengthsText(action.strengths);
      const loras = state.form.loras.map((row) => (row.id === state.selected ? { ...row, blocks } : row));
      return { ...state, form: { ...state.form, loras } };
    }
    case "tag/toggled":
      return { ...state, form: { ...state.form, prompt: withTag(state.form.prompt, action.tag) } };
    case "form/changed":
      return { ...state, form: checkedForm({ ...state.form, ...action.change }, sizeStep(state)) };
    case "prompt/completion":
      return { ...state, completion: action.completion };
    case "seed/reuse":
      return state.result ? { ...state, form: { ...state.form, seed: state.result.plain.seed } } : state;
    case "row/added":
      return { ...state, form: { ...state.form, loras: [...state.form.loras, { ...EMPTY_ROW, id: unused(state) }] } };
    case "row/changed":
      return { ...state, form: withRow(state.form, action.index, action.change) };
    case "row/removed":
      return { ...state, form: withoutRow(state.form, action.index) };
    default:
      return state;
  }
}

/** A file of the user's that no row has yet, "" for none. @param {State} state */
function unused(state) {
  return loraOptions(state).own.find(({ id }) => !state.form.loras.some((row) => row.id === id))?.id ?? "";
}
