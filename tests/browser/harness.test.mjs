/** The harness itself: waits that time out with a reason, evaluated code that returns, pages closed with their test. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { BLANK, launch, until, within } from './harness.mjs';

describe('a wait', () => {
  it('gives the first answer that passes', async () => {
    let asked = 0;
    assert.equal(await until('three', async () => ++asked, { passes: (count) => count === 3 }), 3);
  });

  it('ends, and says what it waited for and what came instead', async () => {
    await assert.rejects(
      until('a file to be kept', async () => ({ kept: 2 }), { passes: ({ kept }) => kept > 2, timeout: 120 }),
      /waited 0\.12 s in vain for a file to be kept; the last answer was \{"kept":2\}/,
    );
    await assert.rejects(within(50, 'an answer', new Promise(() => {})), /waited 0\.05 s in vain for an answer/);
    assert.equal(await within(50, 'an answer', Promise.resolve('given')), 'given');
  });

  it('is for a thing and never for a time, in every test', async () => {
    const folder = new URL('./', import.meta.url);
    const files = (await readdir(folder)).filter(
      (file) => file.endsWith('.test.mjs') && !import.meta.url.endsWith(file),
    );
    assert.ok(files.length > 10, files.join(' '));
    for (const file of files) {
      const found = (await readFile(new URL(file, folder), 'utf8')).match(/waitForTimeout|while \(|\.newContext\(/g);
      assert.deepEqual(found, null, `${file}: use until() and site.open() of harness.mjs`);
    }
  });
});

describe('a page', () => {
  let site, earlier;
  before(async () => (site = await launch(['--js-flags=--expose-gc'])));
  after(() => site?.close());

  it('answers code though it goes on to collect garbage in the same turn', async () => {
    const { page } = await site.open(BLANK);
    earlier = page;
    for (const fails of [false, true]) {
      const answer = page.evaluate(async (fails) => {
        await new Promise((turn) => setTimeout(turn, 10));
        let left = 30;
        const busy = () => {
          gc({ type: 'minor' });
          if (left--) queueMicrotask(busy);
        };
        queueMicrotask(busy);
        if (fails) throw new Error('told');
        return 'answered';
      }, fails);
      if (fails) await assert.rejects(answer, /told/);
      else assert.equal(await answer, 'answered');
    }
    assert.equal(await page.evaluate(() => document.title), 'Blank', 'code without a promise is answered as it is');
  });

  it('ends with the test that opened it', () => assert.ok(earlier.isClosed()));
});
