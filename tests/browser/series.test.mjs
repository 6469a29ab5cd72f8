/** Training runs: twelve epochs of a real one, dropped at once, as charts, words and a table. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';
import { drop, launch } from './harness.mjs';
import { reportOf } from './studio.mjs';

const FOLDER = 'golden/series';
const NAMES = Array.from({ length: 12 }, (_, at) =>
  at < 11 ? `rings-${String(at + 1).padStart(6, '0')}.safetensors` : 'rings.safetensors',
);

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** A page with the numbers of the run. */
async function openRun() {
  const { page, errors } = await site.open();
  await drop(
    page,
    NAMES.toReversed().map((name) => `${FOLDER}/${name}`),
  );
  await page.waitForSelector('[data-testid=series][data-status=read]');
  return { page, errors };
}

it('the epochs of a run are one thing, with the numbers that NumPy gives', async () => {
  const { page, errors } = await openRun();
  const series = page.getByTestId('series');
  assert.match(await series.innerText(), /rings/);
  assert.match(await series.locator('header').innerText(), /12 files, epochs 1 to 12, steps 12 to 144/);
  const expected = JSON.parse(await readFile(new URL(`../${FOLDER}/run.json`, import.meta.url)));
  const rows = await series
    .locator('tbody tr')
    .evaluateAll((rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText)));
  assert.deepEqual(
    rows.map(([name]) => name.trim()),
    NAMES,
  );
  const three = (value) => (value === null ? '' : String(Number(value.toPrecision(3))));
  rows.forEach(([, epoch, step, norm, moved, cosine], at) => {
    assert.deepEqual([epoch, step], [String(at + 1), String(12 * (at + 1))]);
    assert.equal(norm, three(expected[at].norm));
    assert.equal(moved, three(expected[at].moved));
    assert.equal(cosine, expected[at].cosine === null ? '' : expected[at].cosine.toFixed(4));
  });
  assert.match(await page.getByTestId('series-sentences').innerText(), /Settled after epoch/);
  assert.deepEqual(errors, []);
});

it('its charts can be chosen, and a row opens the report of its file', async () => {
  const { page, errors } = await openRun();
  const chart = page.locator('.series-chart svg[role=img]');
  assert.match(await chart.getAttribute('aria-label'), /From 1 to 12\. Norm: /);
  assert.equal(await chart.locator('circle').count(), 12);
  await page.click('[data-chart=part]');
  assert.match(await chart.getAttribute('aria-label'), /Attention: .*Feed-forward: /);
  assert.equal(await chart.locator('circle').count(), 24);
  await page.click('[data-chart=block]');
  assert.equal((await chart.locator('rect').count()) % 12, 0);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#series-json')]);
  assert.equal(download.suggestedFilename(), 'rings.series.json');
  const { series, layers, summary } = JSON.parse(await readFile(await download.path()));
  assert.deepEqual([series.files.length, summary.totals.length, layers[0].points.length], [12, 12, 12]);
  await page.getByTestId('series').getByRole('button', { name: 'rings-000006.safetensors' }).click();
  await reportOf(page, 'rings-000006.safetensors');
  assert.deepEqual(errors, []);
});

it('its files are the axis of a plot at one click', async () => {
  const { page, errors } = await openRun();
  await page.click('#series-draw');
  await page.waitForSelector('#grid[open]');
  await page.waitForSelector('#draw-grid[aria-disabled=false]');
  assert.equal(await page.inputValue('#axis-x'), 'lora');
  const pressed = await page.locator('.axis').first().locator('.chip[aria-pressed=true]').allInnerTexts();
  assert.deepEqual(
    pressed,
    NAMES.map((name) => name.replace('.safetensors', '')),
  );
  assert.match(await page.locator('#draw-grid').innerText(), /12 images/);
  assert.deepEqual(errors, []);
});

it('a loss in the headers is a chart', async () => {
  const { page, errors } = await site.open();
  await page.waitForSelector('#try-demo');
  await page.evaluate(
    async (names) => {
      const transfer = new DataTransfer();
      for (const [at, name] of names.entries()) {
        const bytes = new Uint8Array(await (await fetch(`/tests/golden/series/${name}`)).arrayBuffer());
        const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
        const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
        header.__metadata__.loss = String(0.5 - at / 10);
        const text = new TextEncoder().encode(JSON.stringify(header));
        const size = new Uint8Array(8);
        new DataView(size.buffer).setBigUint64(0, BigInt(text.length), true);
        transfer.items.add(new File([size, text, bytes.subarray(8 + length)], name));
      }
      document.body.dispatchEvent(
        new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true, composed: true }),
      );
    },
    NAMES.slice(0, 4),
  );
  await page.click('[data-chart=loss]');
  const chart = page.locator('.series-chart svg[role=img]');
  assert.match(await chart.getAttribute('aria-label'), /loss: 0\.5 to 0\.2\./);
  assert.equal(await chart.locator('circle').count(), 4);
  assert.deepEqual(errors, []);
});
