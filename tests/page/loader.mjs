/**
 * Module hooks with which Node loads the page's modules as the bundler does: addresses of workers, and
 * `import.meta.env`.
 */

/** An imported worker is its address. */
export async function resolve(specifier, context, next) {
  const [path, query] = specifier.split('?');
  if (query === 'worker&url')
    return { url: `data:text/javascript,export default ${JSON.stringify(path)}`, shortCircuit: true };
  // The package's entry for Node is no ES module.
  if (specifier === 'workbox-window') return next('workbox-window/index.mjs', context);
  return next(specifier, context);
}

export async function load(url, context, next) {
  const loaded = await next(url, context);
  if (!url.includes('/web/') || !loaded.source) return loaded;
  return { ...loaded, source: String(loaded.source).replaceAll('import.meta.env', '({})') };
}
