/** The GPU benchmark: hidden by default, usable with the keyboard, copied as text; and skipping the tuning. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { benchFile, benchText, figures, verdict } from '../../web/bench/state.js';
import { progressView } from '../../web/generate/views/progress.js';
import { SUB_PATH, launch, soon } from './harness.mjs';
import { PATIENCE } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

describe('the measurements', () => {
  it('come by the address or the help, and are hidden otherwise', async () => {
    const { page } = await site.open();
    await page.waitForSelector('#try-demo');
    assert.equal(await page.getByTestId('bench').count(), 0);
    await page.goto(`${site.url}help.html`);
    await page.click('a[href="./#bench"]');
    await page.getByTestId('bench').waitFor();
  });

  it('start and stop with keys, and are copied with the name of the device', async () => {
    const { page, errors } = await site.open(`${SUB_PATH}#bench`);
    await page.evaluate(() =>
      Object.defineProperty(navigator, 'clipboard', {
        value: { writeText: async (text) => void (window.copied = text) },
      }),
    );
    await page.locator('#bench-run[aria-disabled=false]').waitFor();
    await page.focus('#bench-run');
    await page.keyboard.press('Enter');
    const rows = page.locator('[data-testid=bench] tbody tr');
    await rows.nth(2).waitFor(PATIENCE);
    await page.focus('#bench-stop');
    await page.keyboard.press('Space');
    await page.locator('#bench-copy').waitFor(PATIENCE);
    await soon(async () =>
      assert.match(await page.getByTestId('bench-status').innerText(), /Measured on .*software rasterizer/),
    );
    // The worker requests subgroups, which wgpu does not: the device has them if the adapter does.
    const offered = await page.evaluate(async () => (await navigator.gpu.requestAdapter()).features.has('subgroups'));
    const told = await Promise.all(
      page.workers().map((worker) => worker.evaluate(() => globalThis.deviceHasSubgroups)),
    );
    assert.deepEqual(
      told.filter((has) => has !== undefined),
      [offered],
    );
    await page.evaluate(await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
    const violations = await page.evaluate(async () => (await window.axe.run('#bench')).violations.map(({ id }) => id));
    assert.deepEqual(violations, []);
    await page.click('#bench-copy');
    const lines = (await page.evaluate(() => window.copied)).split('\n');
    assert.match(lines[0], /^LoRA Loupe on .*software rasterizer/);
    assert.match(lines[1], /^multiply-adds in registers, .* GFLOP\/s/);
    assert.match(
      lines[3],
      /^conv 3x3 320 to 320 at 32x32, [\d.]+ ms \([\d.]+ to [\d.]+\), [\d.]+ GFLOP\/s, \d+ % of the roof$/,
    );
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('#bench-save')]);
    assert.equal(file.suggestedFilename(), 'lora-loupe-bench.json');
    const saved = JSON.parse(await readFile(await file.path(), 'utf8'));
    assert.deepEqual(Object.keys(saved), ['adapter', 'rows']);
    assert.match(saved.adapter, /software rasterizer/);
    assert.equal(saved.rows.length, await rows.count());
    assert.deepEqual(errors, []);
  });

  it('are told with the digits that they have', () => {
    const row = {
      group: 'kernels',
      name: 'x',
      ours_ms: { min: 1.234, median: 12.34, max: 123.4 },
      gflops: null,
      share_of_roof: 0.456,
    };
    assert.deepEqual(figures(row), { min: '1.23', median: '12.3', max: '123', gflops: '', percent: '46 %' });
    assert.equal(
      benchText({ adapter: 'a card', rows: [row] }),
      'LoRA Loupe on a card\nx, 12.3 ms (1.23 to 123), 46 % of the roof\n',
    );
  });

  it('are judged by their share of the peak, and saved with nothing but the card and the rows', () => {
    const row = {
      group: 'kernels',
      name: 'matmul',
      ours_ms: { min: 1, median: 1, max: 1 },
      gflops: null,
      share_of_roof: 0.5,
    };
    const of = (changes) => verdict({ ...row, ...changes });
    assert.deepEqual([of({}), of({ share_of_roof: 0.25 }), of({ share_of_roof: 0.2 })], ['good', 'fair', 'slow']);
    assert.deepEqual(
      [of({ name: 'layer norm 8192 x 320' }), of({ name: '2 x group norm and SiLU' })],
      ['memory', 'memory'],
    );
    assert.deepEqual([of({ group: 'roof' }), of({ share_of_roof: null })], [null, null]);
    const bench = { shown: true, status: 'idle', all: 1, rows: [row], adapter: 'a card', error: null };
    assert.deepEqual(JSON.parse(benchFile(bench)), { adapter: 'a card', rows: [row] });
  });
});

describe('tuning', () => {
  it('says how far it is and can be skipped', () => {
    const run = (stage) => ({
      status: 'running',
      image: 1,
      images: 1,
      live: false,
      progress: { stage, step: 1, steps: 3, seconds_left: null },
    });
    const sent = [];
    const drawn = (stage) => progressView(run(stage), { status: 'none' }, (action) => sent.push(action.type));
    const nested = (part) => (part?.strings ? [part, ...part.values.flatMap(nested)] : []);
    const skip = (stage) => nested(drawn(stage)).find(({ strings }) => strings.join('').includes('id="skip-tuning"'));
    assert.equal(skip('denoise'), undefined);
    assert.ok(JSON.stringify(drawn('tune').values).includes('1 of 3'));
    skip('tune').values.find((value) => typeof value === 'function')();
    assert.deepEqual(sent, ['run/skip_tuning']);
  });
});
