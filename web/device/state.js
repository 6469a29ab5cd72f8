/** Where images are computed: the graphics card or the processor. State and action -> the next state. Pure. */

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {State["device"]} */
export const FIRST_DEVICE = {
  choice: "auto",
  weights: "auto",
  status: "checking",
  info: null,
  error: null,
  seconds: null,
};

/** Images at most as large, with as few steps, take seconds to minutes on a processor. */
export const SMALL = { width: 256, height: 256, steps: 8 };

/** @param {State} state @param {Action} action @returns {State} */
export function reduceDevice(state, action) {
  const with_ = (/** @type {Partial<State["device"]>} */ change) => ({
    ...state,
    device: { ...state.device, ...change },
  });
  switch (action.type) {
    case "device/chosen":
      return with_({ choice: action.choice, status: "checking", seconds: null });
    case "weights/chosen":
      return with_({ weights: action.weights });
    case "device/known":
      return with_({ status: "ready", info: action.info, error: null });
    case "device/failed":
      return with_({ status: "missing", error: action.error });
    case "device/estimated":
      return with_({ seconds: action.seconds });
    default:
      return state;
  }
}
