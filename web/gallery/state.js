/** What was drawn in this visit: the history of images, and the grid. State and action -> the next state. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../types.d.ts").Drawing} Drawing */
/** @typedef {import("../types.d.ts").Result} Result */

/** The history lets go of its oldest images beyond this many pixels: 160 MB of memory. */
const MOST_PIXELS = 40e6;

/** @type {Pick<State, "history" | "axes" | "grid" | "vote">} */
export const FIRST_IMAGES = {
  history: { items: [], selected: 0, pinned: 0, compare: "side" },
  axes: {
    x: { kind: "strength:0", text: "-1, -0.5, 0, 0.5, 1, 1.5", chosen: [] },
    y: { kind: "none", text: "", chosen: [] },
  },
  grid: null,
  vote: null,
};

/** @param {State} state @param {Action} action @returns {State} */
export function reduceImages(state, action) {
  switch (action.type) {
    case "run/result":
      return action.result.preview ? state : drawings(action.result).reduce(remembered, state);
    case "session/restored":
      return action.drawings.reduce(remembered, state);
    case "history/changed":
      return { ...state, history: { ...state.history, ...action.change } };

    case "axis/changed": {
      const axis = { ...state.axes[action.side], ...action.change };
      return { ...state, axes: { ...state.axes, [action.side]: axis } };
    }
    case "grid/started":
      return { ...state, grid: action.grid, vote: null };
    case "grid/drawn": {
      if (!state.grid) return state;
      const cells = state.grid.cells.with(action.at, action.cell);
      return { ...state, grid: { ...state.grid, cells } };
    }
    case "vote/started":
      return { ...state, vote: { pairs: action.pairs, votes: [] } };
    case "vote/given": {
      const pair = state.vote?.pairs[state.vote.votes.length];
      if (!state.vote || !pair) return state;
      return { ...state, vote: { ...state.vote, votes: [...state.vote.votes, { pair, choice: action.choice }] } };
    }
    case "vote/ended":
      return { ...state, vote: null };
    case "grid/picked": {
      const cell = state.grid?.cells[action.at];
      if (!cell) return state;
      const next = remembered(state, cell);
      const { id } = /** @type {Drawing} */ (next.history.items.find(({ image }) => image === cell.image));
      return { ...next, history: { ...next.history, selected: id } };
    }
    default:
      return state;
  }
}

/** @param {Result} result @returns {Omit<Drawing, "id">[]} */
function drawings({ without, with: stacked, plain, recipe, loras }) {
  return [
    ...(without ? [{ image: without, recipe: plain, loras: [] }] : []),
    ...(stacked ? [{ image: stacked, recipe, loras }] : []),
  ];
}

/** An image is in the history once. @param {State} state @param {Omit<Drawing, "id">} drawing @returns {State} */
function remembered(state, drawing) {
  const { items, pinned, selected } = state.history;
  if (items.some(({ image }) => image === drawing.image)) return state;
  const id = 1 + Math.max(0, ...items.map((item) => item.id));
  const all = [...items, { ...drawing, id }];
  let over = all.reduce((sum, { image }) => sum + image.width * image.height, 0) - MOST_PIXELS;
  const left = all.filter((item) => {
    const goes = over > 0 && ![pinned, selected, id].includes(item.id);
    if (goes) over -= item.image.width * item.image.height;
    return !goes;
  });
  return { ...state, history: { ...state.history, items: left } };
}

/** @param {State} state @param {number} id */
export function drawingOf({ history }, id) {
  return history.items.find((item) => item.id === id);
}
