/** The compressed size of everything that a first visit requests stays within its budget. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { firstVisit, zipped } from './first-visit.mjs';
import { launch } from './harness.mjs';

/** Maximum size of a first visit, in bytes of gzip. */
const BUDGET = 1_000_000;

let site;
before(async () => (site = await launch()));
after(() => site?.close());

test('a first visit asks for no more than 1 MB of gzip', async (test) => {
  const names = await firstVisit(site);
  const listed = names.map((name) => `${name} ${zipped([name])}`).join('\n');
  // The list has the essential parts of the page. Fonts would have to be listed as well if the styles had any.
  for (const part of [
    /^index\.html$/,
    /\.css$/,
    /^assets\/.*\.js$/,
    /^assets\/inspector-worker-.*\.js$/,
    /inspector.*\.wasm$/,
    /^demo\/demo\.json$/,
  ])
    assert.ok(
      names.some((name) => part.test(name)),
      `${part} in\n${listed}`,
    );
  const styles = await Promise.all(
    names
      .filter((name) => name.endsWith('.css'))
      .map((name) => readFile(new URL(`../../dist/${name}`, import.meta.url), 'utf8')),
  );
  assert.deepEqual(
    styles.join('').match(/@font-face/g),
    null,
    'a font is asked for only where it is used: have the visit use it, and count it',
  );
  assert.deepEqual(
    names.filter((name) => /^assets\/work-/.test(name)),
    [],
    'the work place comes with the first file',
  );
  assert.deepEqual(
    names.filter((name) => name.includes('engine')),
    [],
    'the engine comes with the first model',
  );
  const bytes = zipped(names);
  test.diagnostic(
    `a first visit asks for ${bytes} bytes of gzip, ${zipped(
      names.filter((name) => name.endsWith('.wasm')),
    )} of them the inspector`,
  );
  assert.ok(bytes <= BUDGET, `${bytes} bytes, and not ${BUDGET}:\n${listed}`);
});
