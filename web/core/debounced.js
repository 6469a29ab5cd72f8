/** Calls that follow each other quickly -> the last of them. */

/** A function that runs once calls have ceased for a while. @param {number} ms @param {() => void} act */
export function debounced(ms, act) {
  /** @type {number | undefined} */
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  };
}
