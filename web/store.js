/** A reducer -> a store: holds the state, tells listeners of each new one. */

/**
 * @template S, A
 * @param {(state: S, action: A) => S} reduce
 * @param {S} initial
 */
export function createStore(reduce, initial) {
  let state = initial;
  /** @type {Set<(state: S, action: A) => void>} */
  const listeners = new Set();
  return {
    getState: () => state,
    /** @param {A} action */
    send(action) {
      state = reduce(state, action);
      for (const listener of listeners) listener(state, action);
    },
    /** @param {(state: S, action: A) => void} listener */
    subscribe(listener) {
      listeners.add(listener);
    },
  };
}
