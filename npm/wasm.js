/** Modules of WebAssembly, from beside this file: by `fetch` in browsers and workers, from the disk in Node. */

/**
 * Starts a module once.
 * @template T
 * @param {() => Promise<T & { default: (input: { module_or_path: unknown }) => Promise<unknown> }>} load
 * @param {string} name of its .wasm file
 * @returns {() => Promise<T>}
 */
export function once(load, name) {
  /** @type {Promise<T> | undefined} */
  let started;
  const start = async () => {
    const [module, code] = await Promise.all([load(), bytesOf(new URL(`./wasm/${name}_bg.wasm`, import.meta.url))]);
    await module.default({ module_or_path: code });
    return module;
  };
  return () =>
    (started ??= start().catch((error) => {
      started = undefined; // the next call tries again
      throw error;
    }));
}

/** @param {URL} url */
async function bytesOf(url) {
  if (url.protocol !== "file:") return fetch(url);
  const files = "node:fs/promises"; // no bundler looks for it
  return (await import(/* @vite-ignore */ files)).readFile(url);
}
