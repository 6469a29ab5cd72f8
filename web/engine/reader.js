/** A port to reach.js -> a function that promises bytes of the file at its other end. */

/** @typedef {(start: number, end: number) => Promise<Uint8Array>} Reader */

/** @param {MessagePort} port @returns {Reader} */
export function readerOf(port) {
  /** @type {Map<number, { resolve: (bytes: Uint8Array) => void, reject: (error: unknown) => void }>} */
  const waiting = new Map();
  let count = 0;
  port.onmessage = ({ data: { id, bytes, error } }) => {
    const asked = waiting.get(id);
    waiting.delete(id);
    if (error) asked?.reject(error);
    else asked?.resolve(bytes);
  };
  return (start, end) =>
    new Promise((resolve, reject) => {
      const id = ++count;
      waiting.set(id, { resolve, reject });
      port.postMessage({ id, start, end });
    });
}
