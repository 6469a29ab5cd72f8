/** What a grid tells: which block of a LoRA does what, and which LoRA wins a blind vote. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { launch } from './harness.mjs';
import { finished, openDemo } from './studio.mjs';

let site, page, errors;
before(async () => {
  site = await launch();
  ({ page, errors } = await openDemo(site));
  await page.locator('#grid').evaluate((grid) => (grid.open = true));
});
after(() => site?.close());

it('each block is switched off and on alone, and the table says what changes', async () => {
  await page.click('#draw-blocks');
  await finished(page);
  await page.waitForSelector('[data-testid=block-effects][data-finished=yes]');
  const rows = await page
    .locator('[data-testid=block-effects] tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim())));
  assert.ok(rows.length > 3, `${rows}`);
  const [without, only] = [2, 3].map((column) => rows.map((row) => Number(row[column])));
  assert.ok(without[0] > 0 && only.some((levels) => levels > 0), `${rows}`);
  assert.deepEqual(
    without,
    without.toSorted((a, b) => b - a),
    'the strongest first',
  );
  assert.equal(await page.locator('[data-testid=block-effects] canvas').count(), rows.length, 'a difference map each');
  const cells = await page.locator('.cells canvas').count();
  assert.equal(cells, 2 * rows.length + 2);
  const suggestion = await page.getByTestId('block-suggestion').innerText();
  assert.ok(suggestion.includes(rows[0][0]), suggestion);
  if (await page.locator('#blocks-use').count()) {
    const weights = await page.locator('[data-testid=block-suggestion] code').innerText();
    await page.click('#blocks-save');
    await page.waitForSelector('[data-testid=change][data-status=planned]');
    assert.match(weights, /=0/);
  }
  assert.deepEqual(errors, []);
});

it('a blind vote between LoRAs ends with a ranking', async () => {
  await page.selectOption('#axis-x', 'lora');
  const chips = page.locator('.axis').first().locator('.chip');
  for (const [at, chip] of (await chips.all()).entries())
    if (at < 3 !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
  await page.click('#draw-grid');
  await finished(page);
  assert.match(await page.locator('.vote-offer').innerText(), /3 pairs/);
  await page.click('#vote-start');
  assert.equal(await page.locator('.cells').count(), 0, 'the names are hidden');
  await page.click('#vote-left');
  await page.click('#vote-right');
  await page.click('#vote-same');
  const rows = await page.locator('[data-testid=ranking] tbody tr').allInnerTexts();
  assert.equal(rows.length, 3, `${rows}`);
  await page.click('#vote-close');
  assert.equal(await page.locator('.cells').count(), 1);
  assert.deepEqual(errors, []);
});
