/** The guided tour with the demo, and the help page. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, soon } from './harness.mjs';
import { enter, generate, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

const done = (page) =>
  page.locator('.guide li[data-done]').evaluateAll((steps) => steps.map(({ dataset }) => dataset.step));

describe('the guided minute', () => {
  it('ticks what was done, from the report to the broken LoRA', async () => {
    const { page, errors } = await site.open();
    assert.equal(await page.getByTestId('guide').count(), 0);
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await page.waitForSelector('.guide li[data-step=look][data-done]');
    assert.deepEqual(await done(page), ['look']);
    await ready(page);
    await enter(page, { steps: 1, guidance: 1 });
    await generate(page);
    await soon(async () => assert.deepEqual(await done(page), ['look', 'draw']));
    await page.fill('#strength', '-0.5');
    await page.selectOption('#lora', 'demo:ink_icon.safetensors');
    await soon(async () => assert.deepEqual(await done(page), ['look', 'draw', 'slide', 'swap']));
    await page.click('#open-broken');
    await reportOf(page, 'broken_names.safetensors');
    await page.waitForSelector('.guide li[data-step=fix][data-done]');
    assert.match(await page.locator('#works').innerText(), /ComfyUI/);
    assert.equal(await page.locator('#change').count(), 1);
    await page.getByRole('button', { name: 'Close the guide' }).click();
    await soon(async () => {
      assert.equal(await page.getByTestId('guide').count(), 0);
      assert.deepEqual(errors, []);
    });
  });
});

describe('the help', () => {
  it('leads to reports that show what it says', async () => {
    const { page, errors } = await site.open();
    // In a tab of its own: the files of this one stay open.
    const [help] = await Promise.all([
      page.context().waitForEvent('page'),
      page.getByRole('link', { name: 'Help' }).click(),
    ]);
    await help.getByRole('heading', { name: 'Why doesn’t my LoRA work?' }).waitFor();
    await help.getByRole('link', { name: 'See it in the demo’s broken LoRA' }).click();
    await reportOf(help, 'broken_names.safetensors');
    assert.equal(page.url(), site.url);
    assert.deepEqual(errors, []);
  });

  it('fits a narrow window', async () => {
    const { page } = await site.open(`${new URL(site.url).pathname}help.html`);
    await page.setViewportSize({ width: 390, height: 844 });
    const [wanted, given] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wanted <= given, `${wanted} px wide in a window of ${given}`);
  });
});
