/** The library: what is kept, and what is on its way. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {State["shelf"]} */
export const FIRST_SHELF = {
  ready: false,
  items: [],
  demo: { kept: 0, all: 0, bytes: 0 },
  works: {},
  usage: 0,
  quota: 0,
  persisted: false,
};

/** @param {State} state @param {Action} action @returns {State} */
export function reduceLibrary(state, action) {
  switch (action.type) {
    case "shelf/listed": {
      const { items, demo, usage, quota, persisted } = action;
      return { ...state, shelf: { ...state.shelf, ready: true, items, demo, usage, quota, persisted } };
    }
    case "shelf/working": {
      const { [action.key]: _, ...others } = state.shelf.works;
      return {
        ...state,
        shelf: { ...state.shelf, works: action.work ? { ...others, [action.key]: action.work } : others },
      };
    }
    default:
      return state;
  }
}
