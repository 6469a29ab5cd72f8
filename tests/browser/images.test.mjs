/** Several images: strips and grids, the difference, the history of the session. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { launch, soon } from './harness.mjs';
import { PATIENCE, deviation, difference, enter, finished, generate, openDemo, pixels } from './studio.mjs';

let site;
/** A page that all tests share, one after another. */
let page;
let errors;
before(async () => {
  site = await launch();
  ({ page, errors } = await openDemo(site));
});
after(() => site?.close());

/** Returns the RGBA values of each canvas that matches a selector. */
const canvases = (page, selector) =>
  page
    .locator(selector)
    .evaluateAll((all) =>
      all.map((canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]),
    );

/** Unfolds the grid's settings. */
const openGrid = () => page.locator('#grid').evaluate((grid) => (grid.open = true));

async function drawGrid() {
  await page.click('#draw-grid');
  await finished(page);
  assert.equal(await page.locator('#run [role=alert]').count(), 0);
}

describe('this visit', () => {
  it('keeps every image with its settings, pins one and compares', async () => {
    const first = await generate(page);
    await enter(page, { seed: 9 });
    const second = await generate(page);
    const thumbs = page.locator('.row-of-images .thumb');
    await soon(async () => assert.equal(await thumbs.count(), 4));
    assert.deepEqual(await canvases(page, '.row-of-images canvas'), [
      second.with,
      second.without,
      first.with,
      first.without,
    ]);

    await thumbs.nth(3).click();
    await page.click('#pin');
    await thumbs.nth(0).click();
    await page.click('#history-difference');
    const [shown] = await canvases(page, '[data-testid=chosen] [data-testid=difference] canvas');
    const apart = second.with.map((value, i) => Math.abs(value - first.without[i]));
    const most = Math.max(...apart.filter((_, i) => i % 4 !== 3));
    shown.forEach((value, i) =>
      assert.ok(i % 4 === 3 ? value === 255 : Math.abs(value - (apart[i] * 255) / most) <= 1, `value ${i}`),
    );
    await page.click('#history-slider');
    await soon(async () => assert.equal(await page.locator('[data-testid=chosen] before-after').count(), 1));

    await thumbs.nth(2).click();
    await page.click('#use-settings');
    assert.equal(await page.inputValue('#seed'), '0');
    assert.deepEqual(errors, []);
  });

  it('shows the difference of the two images', async () => {
    await enter(page, { seed: 9, strength: 0 });
    await generate(page);
    await page.click('#compare-difference');
    assert.match(await page.getByTestId('difference').innerText(), /Identical, pixel for pixel/);
    const [black] = await canvases(page, '[data-testid=difference] canvas');
    assert.ok(black.every((value, i) => value === (i % 4 === 3 ? 255 : 0)));
    await page.click('#compare-side');
    assert.ok(deviation(await pixels(page, 'with')) > 5);
  });
});

describe('many at once', () => {
  it('draws a strip of strengths, and the image without a LoRA at 0', async () => {
    await enter(page, { strength: 1 });
    const { without, with: full } = await generate(page);
    await openGrid();
    await soon(async () => {
      assert.equal(await page.inputValue('#values-x'), '-1, -0.5, 0, 0.5, 1, 1.5');
      assert.match(await page.locator('#draw-grid').innerText(), /6 images/);
    });
    await page.fill('#values-x', '-1, 0, 1');
    await drawGrid();
    const heads = await page.locator('.cells th[scope=col]').allInnerTexts();
    assert.deepEqual(heads, ['−1', '0', '1']);
    const cells = await canvases(page, '.cells canvas');
    assert.equal(cells.length, 3);
    assert.deepEqual(cells[1], without);
    assert.deepEqual(cells[2], full);
    assert.ok(difference(cells[0], cells[2]) > 2);
    assert.deepEqual(errors, []);
  });

  it('draws all blocks, and without some of them', async () => {
    await openGrid();
    await page.selectOption('#axis-x', 'blocks:0');
    const chips = page.locator('.axis').first().locator('.chip');
    assert.deepEqual(
      (await chips.allInnerTexts()).slice(0, 2).map((text) => text.trim()),
      ['all blocks', 'without IN'],
    );
    for (const chip of await chips.all()) {
      const wanted = ['all blocks', 'without IN'].includes((await chip.innerText()).trim());
      if (wanted !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
    }
    await drawGrid();
    const cells = await canvases(page, '.cells canvas');
    assert.equal(cells.length, 2);
    assert.ok(difference(cells[0], cells[1]) > 0.5);
  });

  it('draws other words in the place of some, once the prompt has these', async () => {
    await openGrid();
    await page.selectOption('#axis-x', 'search');
    await soon(async () => assert.equal(await page.inputValue('#values-x'), 'red apple'));
    await page.fill('#values-x', 'green, panda');
    await page.getByText('“green” is not in the prompts.').waitFor();
    await page.waitForSelector('#draw-grid[aria-disabled=true]');
    await page.fill('#values-x', 'red apple, panda');
    await page.waitForSelector('#draw-grid[aria-disabled=false]');
    await drawGrid();
    assert.deepEqual(await page.locator('.cells th[scope=col]').allInnerTexts(), ['red apple', 'panda']);
    const [apple, panda] = await canvases(page, '.cells canvas');
    assert.ok(difference(apple, panda) > 2);
  });

  it('draws a grid of LoRAs and seeds, and saves it as one PNG', async () => {
    await openGrid();
    await page.selectOption('#axis-x', 'lora');
    const chips = page.locator('.axis').first().locator('.chip');
    for (const chip of await chips.all()) {
      const wanted = ['no LoRA', 'Duotone'].includes((await chip.innerText()).trim());
      if (wanted !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
    }
    await page.selectOption('#axis-y', 'seed');
    await page.fill('#values-y', '7, 8');
    await drawGrid();
    const cells = await canvases(page, '.cells canvas');
    assert.equal(cells.length, 4);
    for (const [a, b] of [
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 3],
    ])
      assert.ok(difference(cells[a], cells[b]) > 1, `${a} and ${b}`);

    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-grid')]);
    assert.match(download.suggestedFilename(), /^grid_red_apple.*\.png$/);
    const bytes = await readFile(await download.path());
    const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
    assert.ok(width > 2 * 128 && height > 2 * 128, `${width} x ${height}`);
    // The PNG has each cell as generated, with larger pixels.
    const colours = await page.evaluate(async (base64) => {
      const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
      return [...new Set(Array.from({ length: data.length / 4 }, (_, i) => data.slice(i * 4, i * 4 + 3).join()))];
    }, bytes.toString('base64'));
    const wanted = cells.flatMap((cell) => [cell.slice(0, 3).join(), cell.slice(-4, -1).join()]);
    for (const colour of wanted) assert.ok(colours.includes(colour), `${colour} is not in the PNG`);
  });

  it('keeps what is finished when it is cancelled', async () => {
    await openGrid();
    await page.selectOption('#axis-x', 'strength:0');
    await page.selectOption('#axis-y', 'none');
    await page.fill('#values-x', '0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7');
    await page.click('#draw-grid');
    await page.waitForSelector('.cells canvas', PATIENCE);
    await page.click('#cancel');
    await finished(page);
    const [first, ...others] = await canvases(page, '.cells canvas');
    assert.ok(deviation(first) > 5);
    assert.ok(others.length < 7);
    assert.match(await page.getByTestId('grid-count').innerText(), new RegExp(`^${others.length + 1} of 8 images`));
    await page.fill('#values-x', Array.from({ length: 65 }, (_, i) => i / 100).join());
    await soon(async () => assert.equal(await page.getAttribute('#draw-grid', 'aria-disabled'), 'true'));
  });
});
