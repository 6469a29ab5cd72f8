/** The page around its features: language, installation, running work, the last visit, notices. Pure. */

import { t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @param {State} state @param {Action} action @returns {State} */
export function reduceApp(state, action) {
  switch (action.type) {
    case "language/changed":
      return { ...state, language: action.language };
    case "app/changed":
      return { ...state, app: { ...state.app, ...action.change } };
    case "jobs/changed":
      return { ...state, jobs: action.jobs };
    case "session/waiting": {
      const { waiting, lost } = action;
      return { ...state, session: { ...state.session, waiting, lost } };
    }
    case "files/added":
      return withoutLost(state, action.entry.name);
    case "model/added":
      return withoutLost(state, action.model.name);
    case "session/reopen":
      return { ...state, session: { ...state.session, waiting: [] } };
    case "session/dismiss":
    case "session/forget":
      return { ...state, session: { ...state.session, rows: [], waiting: [], lost: [] } };
    case "session/kept":
      return { ...state, session: { ...state.session, kept: action.kept } };
    case "page/failed":
      return reduceApp(state, { type: "notice/raised", title: t("error.page"), message: action.message });
    case "notice/raised": {
      const id = 1 + Math.max(0, ...state.notices.map((notice) => notice.id));
      const { title, message } = action;
      return { ...state, notices: [...state.notices, { id, title, message }] };
    }
    case "notice/dismissed":
      return { ...state, notices: state.notices.filter(({ id }) => id !== action.id) };
    default:
      return state;
  }
}

/** What the user has opened again is missed no more. @param {State} state @param {string} name @returns {State} */
function withoutLost(state, name) {
  const { session } = state;
  const lost = session.lost.filter((each) => each !== name);
  return lost.length < session.lost.length ? { ...state, session: { ...session, lost } } : state;
}
