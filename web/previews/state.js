/** Preview images of a folder's LoRAs: asked for, made one by one, saved. State and action -> the next state. Pure. */

import { t } from "../words.js";
import { countsOf } from "./plan.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Previews} Previews */
/** @typedef {import("../types.d.ts").Action} Action */

/** @param {State} state @param {Action} action @returns {State} */
export function reducePreviews(state, action) {
  switch (action.type) {
    case "folder/listed":
    case "folder/closed":
    case "previews/close":
      return state.previews ? { ...state, previews: null } : state;
    case "previews/opened":
      return { ...state, previews: opened(action.form) };
    case "previews/left":
      return { ...state, leftPreviews: action.left };
    case "previews/ended": {
      const next = withPreviews(state, action);
      const announcement = next.previews ? t("previews.counts", countsOf(next.previews)) : state.announcement;
      return { ...next, announcement };
    }
    case "previews/saved":
      return { ...withPreviews(state, action), announcement: savedText(action.saved) };
    default:
      return action.type.startsWith("previews/") ? withPreviews(state, action) : state;
  }
}

/** @param {import("../types.d.ts").PreviewForm} form @returns {Previews} */
function opened(form) {
  return { form, status: "idle", ids: [], made: {}, seconds: null, error: null, saved: null };
}

/** @param {State} state @param {Action} action @returns {State} */
function withPreviews(state, action) {
  const { previews } = state;
  return previews ? { ...state, previews: { ...previews, ...changeOf(previews, action) } } : state;
}

/** @param {Previews} previews @param {Action} action @returns {Partial<Previews>} */
function changeOf({ form, made, seconds }, action) {
  switch (action.type) {
    case "previews/changed":
      return { form: { ...form, ...action.change } };
    case "previews/start":
      return { status: "running", error: null, saved: null };
    case "previews/begun":
      return { ids: action.ids, made: action.anew ? {} : made, seconds: action.anew ? null : seconds };
    case "previews/made":
      return { made: { ...made, [action.id]: action.preview }, seconds: action.seconds };
    case "previews/ended":
      return { status: action.status, error: action.error };
    case "previews/saved":
      return { saved: action.saved };
    default:
      return {};
  }
}

/** Where the images went, for people. @param {NonNullable<Previews["saved"]>} saved */
export function savedText({ n, there, folder, embedded }) {
  const said = t(embedded ? "previews.copied" : "previews.saved", { n, folder });
  return there ? `${said} ${t("previews.there", { n: there })}` : said;
}
