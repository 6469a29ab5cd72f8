/** The library: what is kept, and what is on its way. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {State["library"]} */
export const FIRST_LIBRARY = {
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
    case "library/listed": {
      const { items, demo, usage, quota, persisted } = action;
      return { ...state, library: { ...state.library, ready: true, items, demo, usage, quota, persisted } };
    }
    case "library/working": {
      const { [action.key]: _, ...others } = state.library.works;
      return {
        ...state,
        library: { ...state.library, works: action.work ? { ...others, [action.key]: action.work } : others },
      };
    }
    default:
      return state;
  }
}
