/** docs/browsers.md promises what the code holds: nothing that a promised browser lacks, by MDN's compatibility data. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { it } from 'node:test';

const ROOT = new URL('../../', import.meta.url);
const require = createRequire(import.meta.url);
// A dependency of eslint-plugin-compat, which checks globals and static methods with the same data.
const data = createRequire(require.resolve('eslint-plugin-compat'))('@mdn/browser-compat-data');
const text = (path) => readFile(new URL(path, ROOT), 'utf8');

/** Oldest versions by the rows of the table in docs/browsers.md. */
const promised = await text('docs/browsers.md').then((docs) => {
  const found = (pattern) => Number(pattern.exec(docs)?.[1]);
  const chrome = found(/\| Chrome, Edge (\d+)\+/);
  return { chrome, edge: chrome, firefox: found(/\| Firefox (\d+)\+/), safari: found(/\| Safari ([\d.]+)\+/) };
});

/** What only makes things nicer where it is there, or is asked for first (the table of capabilities in the docs). */
const EXTRAS = new Set([
  ...['field-sizing', 'scrollbar-width', 'requestPermission', 'queryPermission'],
  ...['showOpenFilePicker', 'showDirectoryPicker'],
  ...['createPolicy', 'createScriptURL', 'setConsumer', 'requestAdapter'],
]);
/** Methods of the page's own that newer browsers happen to have too. */
const OWN = new Set(['drop', 'forget', 'gpu', 'inspect', 'opened', 'run', 'summarize']);

/** Whether all promised browsers have a feature. @param {any} support */
function isPromised(support) {
  return Object.entries(promised).every(([browser, oldest]) => {
    const entries = [support[browser] ?? { version_added: false }].flat();
    return entries.some(
      ({ version_added: added, flags, version_removed: removed }) =>
        !flags && !removed && added && added !== 'preview' && parseFloat(String(added).replace('≤', '')) <= oldest,
    );
  });
}

/** Names below a part of the data -> the support of each feature of that name. */
function features(part, found = new Map()) {
  for (const [name, value] of Object.entries(part)) {
    if (name === '__compat' || !value || typeof value !== 'object') continue;
    const { support } = value.__compat ?? {};
    const plain = name.replace(/_static$/, '');
    if (support) found.set(plain, [...(found.get(plain) ?? []), support]);
    features(value, found);
  }
  return found;
}

/** The names that some promised browser lacks in each of their meanings. */
const missing = (names, known) =>
  [...new Set(names)].filter(
    (name) => known.has(name) && !EXTRAS.has(name) && !OWN.has(name) && !known.get(name).some(isPromised),
  );

/** All that a pattern's first group finds. */
const all = (source, pattern) => [...source.matchAll(pattern)].map(([, name]) => name);

it('the table of browsers and the list of the linter agree', async () => {
  const { browserslist } = JSON.parse(await text('package.json'));
  const { chrome, edge, firefox, safari } = promised;
  const wanted = [`Chrome >= ${chrome}`, `Edge >= ${edge}`, `Firefox >= ${firefox}`, `Safari >= ${safari}`];
  assert.deepEqual(browserslist, [...wanted, `iOS >= ${safari}`]);
});

it('styles need nothing that a promised browser lacks', async () => {
  const names = (await readdir(new URL('web/style/', ROOT))).filter((name) => name.endsWith('.css'));
  const styles = (await Promise.all(names.map((name) => text(`web/style/${name}`)))).join('\n');
  const source = styles.replaceAll(/\/\*[^]*?\*\//g, '').replaceAll(/"[^"]*"/g, '""');
  const { properties, selectors, types, 'at-rules': rules } = data.css;
  const values = features(types);
  features(properties, values);
  const used = {
    properties: all(source, /[{;]\s*([a-z-]+)\s*:/g),
    functions: all(source, /([a-z][a-z-]*)\(/g),
    selectors: all(source, /::?([a-z][a-z-]*)(?=[^{};]*\{)/g),
    rules: all(source, /@([a-z-]+)/g),
  };
  assert.ok(
    used.properties.includes('display') && used.functions.includes('light-dark') && used.rules.includes('media'),
  );
  const top = (part) =>
    new Map(Object.entries(part).map(([name, { __compat }]) => [name, __compat ? [__compat.support] : []]));
  assert.deepEqual(missing(used.properties, top(properties)), []);
  assert.deepEqual(missing(used.functions, values), []);
  assert.deepEqual(missing(used.selectors, top(selectors)), []);
  assert.deepEqual(missing(used.rules, top(rules)), []);
  // The check itself can fail: `light-dark()` is what makes Chrome 123 the oldest.
  promised.chrome -= 1;
  assert.deepEqual(missing(used.functions, values), ['light-dark']);
  promised.chrome += 1;
});

it('scripts call no method that a promised browser lacks', async () => {
  const names = (await readdir(new URL('web/', ROOT), { recursive: true })).filter((name) => name.endsWith('.js'));
  const sources = (await Promise.all(names.map((name) => text(`web/${name}`)))).join('\n');
  const source = sources.replaceAll(/\/\*[^]*?\*\//g, '');
  const known = features(data.javascript.builtins);
  features(data.api, known);
  const used = all(source, /\.([a-zA-Z]+)\(/g);
  assert.ok(used.includes('toSpliced') && used.includes('getReader'));
  assert.deepEqual(missing(used, known), []);
  assert.deepEqual(missing(['toHex', 'withResolvers'], known), ['toHex'], 'the check can fail');
});
