/** Who may import whom in web/, and which files may touch the browser's document, address and devices. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { posix } from 'node:path';
import { it } from 'node:test';

const WEB = new URL('../../web/', import.meta.url);
const names = (await readdir(WEB, { recursive: true })).filter(
  (name) => name.endsWith('.js') && !name.startsWith('public/'),
);
const files = new Map(await Promise.all(names.map(async (name) => [name, await readFile(new URL(name, WEB), 'utf8')])));

/** The code of a file without comments and texts. */
const bare = (source) => source.replaceAll(/\/\*[^]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '');

/** The page's files that a file imports. */
function imports(name, source) {
  const found = bare(source).matchAll(/(?:^import\s[^'"]*|\bimport\()["'](\.[^"'?]+)(\?worker)?/gm);
  return [...found]
    .filter(([, , worker]) => !worker)
    .map(([, path]) => posix.join(posix.dirname(name), path))
    .filter((path) => files.has(path));
}

const graph = new Map([...files].map(([name, source]) => [name, imports(name, source)]));
const edges = [...graph].flatMap(([from, all]) => all.map((to) => ({ from, to })));
const broken = (wrong) => edges.filter(wrong).map(({ from, to }) => `${from} -> ${to}`);

it('the files are found', () => {
  assert.ok(files.size > 90, `${files.size} files`);
  assert.ok(edges.length > 250, `${edges.length} imports`);
  assert.deepEqual(
    imports('a/b.js', 'import { x } from "../words.js"; // import "../state.js"\nimport("../words/de.js")'),
    ['words.js', 'words/de.js'],
  );
});

it('no file imports itself, by whatever way', () => {
  const done = new Set();
  const walk = (name, path) => {
    if (path.includes(name)) return assert.fail([...path.slice(path.indexOf(name)), name].join(' -> '));
    if (done.has(name)) return;
    for (const next of graph.get(name)) walk(next, [...path, name]);
    done.add(name);
  };
  for (const name of graph.keys()) walk(name, []);
});

const RULES = [
  [
    'a view imports neither effects nor the engine',
    ({ from, to }) =>
      /(^|\/)(ui|views)\//.test(from) &&
      (/(^|\/)(effects|jobs|rpc)\.js$|^generate\/run\.js$/.test(to) || to.startsWith('engine/')),
  ],
  ['core imports no feature', ({ from, to }) => from.startsWith('core/') && !/^(core\/|words)/.test(to)],
  ['ui imports no feature', ({ from, to }) => from.startsWith('ui/') && !/^(ui\/|core\/|words)/.test(to)],
  [
    'state is pure: it imports neither effects nor the world',
    ({ from, to }) => /(^|\/|-)state\.js$/.test(from) && /(^|\/)(effects|run|world|client|jobs|rpc)\.js$/.test(to),
  ],
  [
    'only app/ and the roots import app/',
    ({ from, to }) =>
      to.startsWith('app/') && !from.startsWith('app/') && !['main.js', 'effects.js', 'state.js'].includes(from),
  ],
  ['only main.js imports the effects of the whole page', ({ from, to }) => to === 'effects.js' && from !== 'main.js'],
  [
    'the engine imports no feature',
    ({ from, to }) => from.startsWith('engine/') && !/^(engine\/|core\/|world\.js|words)/.test(to),
  ],
  ['world.js imports nothing', ({ from }) => from === 'world.js'],
];
for (const [rule, wrong] of RULES) it(rule, () => assert.deepEqual(broken(wrong), []));

/** Besides world.js: elements, which make their own parts, and what runs in workers. */
const WORLDLY =
  /^(world|sw|ui\/elements\/.+|engine\/(worker|sink|tuned)|library\/(library-worker|opfs)|remote\/remote-worker)\.js$/;

it('only world.js touches the document, the address and the devices', () => {
  const touching = [...files].filter(
    ([name, source]) =>
      !WORLDLY.test(name) &&
      !name.startsWith('words/') &&
      /(?<![.\w"`])(document|location|navigator|localStorage)\b(?!["`:])/.test(bare(source)),
  );
  assert.deepEqual(
    touching.map(([name]) => name),
    [],
  );
});
