/** Trigger words: found in the numbers of a LoRA with the open model, marked if the header has them, put into the prompt. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { drop, launch, soon } from './harness.mjs';
import { PATIENCE, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

test('the words to which a LoRA answers are ranked, and a click puts one into the prompt', async () => {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await ready(page);
  await drop(page, ['golden/triggers/canoe.safetensors']);
  await reportOf(page, 'canoe.safetensors', 'read');
  await page.click('#find-triggers');
  await page.waitForSelector('[data-testid=triggers][data-status=done]', PATIENCE);
  const words = await page.locator('[data-testid=ranked-words] tbody th').allInnerTexts();
  assert.equal(words.length, 20);
  assert.equal(words[0].trim(), 'canoe');
  await page.locator('[data-testid=ranked-words] tbody th button').first().click();
  await soon(async () => assert.match(await page.inputValue('#prompt'), /, canoe$/));
  assert.deepEqual(errors, []);
});

test('a search can be cancelled, and its button comes again', async () => {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await ready(page);
  await page.click('#find-triggers');
  await page.locator('[data-testid=triggers][data-status=running] button').click();
  await page.waitForSelector('[data-testid=triggers][data-status=none] #find-triggers', PATIENCE);
  assert.deepEqual(errors, []);
});
