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
  const said = await page.getByTestId('winner').innerText();
  const [place, name] = rows[0].split('\t');
  assert.equal(place, '1');
  assert.ok(said.includes(name.trim()), `${said} is not ${name}`);
  if (await page.locator('#winner-save').count()) {
    const [saved] = await Promise.all([page.waitForEvent('download'), page.click('#winner-save')]);
    assert.match(saved.suggestedFilename(), /\.safetensors$/);
    await page.click('#winner-use');
    assert.equal(await page.locator('#run select[id^=lora]').first().inputValue(), `demo:${saved.suggestedFilename()}`);
  } else assert.match(said, /First together/);
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
