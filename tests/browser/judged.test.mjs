/** What a grid tells: which block of a LoRA does what, and which LoRA wins a blind vote. */
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { readFile } from 'node:fs/promises';
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
  const ranked = async () =>
    (await page.locator('[data-testid=ranking] tbody tr').allInnerTexts()).map((row) => row.split('\t'));
  const said = () => page.getByTestId('winner').innerText();
  await page.selectOption('#axis-x', 'lora');
  const chips = page.locator('.axis').first().locator('.chip');
  for (const [at, chip] of (await chips.all()).entries())
    if (at < 3 !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
  await page.click('#draw-grid');
  await finished(page);
  assert.match(await page.locator('.vote-offer').innerText(), /3 pairs/);
  await page.click('#vote-start');
  assert.equal(await page.locator('.cells').count(), 0, 'the names are hidden');
  for (let pair = 0; pair < 3; pair++) await page.click('#vote-same');
  const drawn = await ranked();
  assert.equal(drawn.length, 3, `${drawn}`);
  assert.match(await said(), /^First together/);
  assert.ok((await Promise.all(drawn.map(async ([, name]) => (await said()).includes(name)))).every(Boolean));
  await page.click('#vote-close');
  // Each wins the pairs in which it is shown on the left: with sides that are not turned, the first column wins all.
  await page.evaluate(() => (Math.random = () => 0.9));
  await page.click('#vote-start');
  for (let pair = 0; pair < 3; pair++) await page.click('#vote-left');
  const [[place, first]] = await ranked();
  assert.equal(place, '1');
  assert.equal(first, 'no LoRA');
  assert.match(await said(), /no LoRA/);
  assert.equal(await page.locator('#winner-save').count(), 0, 'no LoRA has no file');
  await page.click('#vote-close');
  await page.click('#vote-start');
  // The pairs in their order: no LoRA and each of the two, then these two.
  for (const side of ['right', 'right', 'left']) await page.click(`#vote-${side}`);
  const [[, winner]] = await ranked();
  assert.ok((await said()).includes(winner), `${await said()} is not ${winner}`);
  const [saved] = await Promise.all([page.waitForEvent('download'), page.click('#winner-save')]);
  assert.match(saved.suggestedFilename(), /\.safetensors$/);
  await page.click('#winner-use');
  assert.equal(await page.locator('#run select[id^=lora]').first().inputValue(), `demo:${saved.suggestedFilename()}`);
  await page.click('#vote-close');
  assert.equal(await page.locator('.cells').count(), 1);
  assert.deepEqual(errors, []);
});

it('the plot is saved as one PNG, and as a GIF with a frame for each LoRA', async () => {
  const [png] = await Promise.all([page.waitForEvent('download'), page.click('#download-grid')]);
  assert.match(png.suggestedFilename(), /\.png$/);
  assert.equal((await readFile(await png.path())).subarray(1, 4).toString(), 'PNG');
  const [gif] = await Promise.all([page.waitForEvent('download'), page.click('#animate-grid')]);
  assert.match(gif.suggestedFilename(), /\.gif$/);
  const bytes = [...(await readFile(await gif.path()))];
  const decoded = await page.evaluate(async (bytes) => {
    const decoder = new ImageDecoder({ data: new Uint8Array(bytes), type: 'image/gif' });
    await decoder.tracks.ready;
    const { frameCount, repetitionCount } = decoder.tracks.selectedTrack;
    const frames = [];
    for (let frameIndex = 0; frameIndex < frameCount; frameIndex++) {
      const { image } = await decoder.decode({ frameIndex });
      const context = new OffscreenCanvas(image.displayWidth, image.displayHeight).getContext('2d');
      context.drawImage(image, 0, 0);
      const { data } = context.getImageData(0, 40, image.displayWidth, image.displayHeight - 40);
      frames.push({ microseconds: image.duration, mean: data.reduce((sum, value) => sum + value, 0) / data.length });
    }
    return { frames, repetitionCount };
  }, bytes);
  assert.deepEqual(
    decoded.frames.map(({ microseconds }) => microseconds),
    [700_000, 700_000, 1_600_000],
  );
  assert.equal(decoded.repetitionCount, Infinity);
  assert.equal(new Set(decoded.frames.map(({ mean }) => mean.toFixed(2))).size, 3, 'each LoRA draws another image');
  assert.deepEqual(errors, []);
});
