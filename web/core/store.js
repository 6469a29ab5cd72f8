/** A reducer -> a store: holds the state, tells listeners of each new one, in the order of the actions. */

/**
 * @template S, A
 * @param {(state: S, action: A) => S} reduce
 * @param {S} initial
 */
export function createStore(reduce, initial) {
  let state = initial;
  /** @type {Set<(state: S, action: A) => void>} */
  const listeners = new Set();
  /**
   * What listeners have not heard yet: an action that a listener sends comes after the one that it hears.
   * @type {{ state: S, action: A }[]}
   */
  const news = [];
  let telling = false;

  function tell() {
    if (telling) return;
    telling = true;
    for (let next = news.shift(); next; next = news.shift()) {
      for (const listener of listeners) hear(listener, next);
    }
    telling = false;
  }

  /**
   * What one listener throws keeps no other from hearing.
   * @param {(state: S, action: A) => void} listener
   * @param {{ state: S, action: A }} next
   */
  function hear(listener, next) {
    try {
      listener(next.state, next.action);
    } catch (thrown) {
      reportError(thrown);
    }
  }

  return {
    getState: () => state,
    /** @param {A} action */
    send(action) {
      state = reduce(state, action);
      news.push({ state, action });
      tell();
    },
    /** @param {(state: S, action: A) => void} listener */
    subscribe(listener) {
      listeners.add(listener);
    },
  };
}
