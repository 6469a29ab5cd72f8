/** axe-core on each state of the page, light and dark, wide and narrow: no serious violations. Also reduced motion. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, it } from 'node:test';
import { SUB_PATH, drop, launch } from './harness.mjs';
import { PATIENCE, finished, openDemo, ready, reportOf } from './studio.mjs';

const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Returns the serious and critical violations of the current page, each with its first elements. */
async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.addScriptTag({ content: AXE });
  return page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'] });
    return violations
      .filter(({ impact }) => ['serious', 'critical'].includes(impact))
      .map(
        ({ id, nodes }) =>
          `${id}: ${nodes
            .slice(0, 4)
            .map(({ target, any }) => `${target.join(' ')} (${any[0]?.message ?? ''})`)
            .join('; ')}`,
      );
  });
}

/** Checks the page in both color schemes. */
async function passes(page, what) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    assert.deepEqual(await violations(page), [], `${what}, ${colorScheme}`);
  }
}

/** Opens a page without content security policy, so that axe-core can be injected. */
async function open() {
  const { page } = await site.open(SUB_PATH, { bypassCSP: true });
  await page.waitForSelector('#try-demo');
  return page;
}

describe('no serious violation', () => {
  it('at the first visit, and in the help', async () => {
    const page = await open();
    await page.click('#library summary');
    await passes(page, 'first visit with the library');
    await page.goto(`${site.url}help.html`);
    await passes(page, 'help');
  });

  it('in reports, good and bad', async () => {
    const page = await open();
    await drop(page, ['corpus/files/kohya_lora_r4a1_fp16.safetensors']);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.evaluate(() => document.querySelectorAll('#look details').forEach((details) => (details.open = true)));
    await passes(page, 'report');
    await drop(page, ['hostile/nan_inf_weights.safetensors', 'hostile/html_page.safetensors']);
    await reportOf(page, 'html_page.safetensors');
    await passes(page, 'refusal');
    await page.locator('button.tab', { hasText: 'nan_inf_weights.safetensors' }).click();
    await reportOf(page, 'nan_inf_weights.safetensors');
    await passes(page, 'problems');
  });

  it('while it draws, and with images, a grid and the history', async () => {
    const page = await open();
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);
    await page.evaluate(() => document.querySelectorAll('#run details').forEach((details) => (details.open = true)));
    // More images than it can finish while both color schemes are checked, on a busy machine too.
    await page.fill('#steps', '100');
    await page.fill('#values-x', '0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2');
    await page.click('#draw-grid');
    await page.waitForSelector('[data-testid=progress]');
    await passes(page, 'drawing');
    assert.equal(await page.getByTestId('run').getAttribute('data-status'), 'running', 'it still draws');
    await page.click('#cancel');
    await finished(page);
    await page.fill('#steps', '1');
    await page.fill('#values-x', '0.5, 1');
    await page.click('#generate');
    await finished(page);
    await page.click('#draw-grid');
    await finished(page);
    await page.locator('.cells .thumb').first().click();
    await page.waitForSelector('[data-testid=chosen]', PATIENCE);
    await passes(page, 'images');
    await page.setViewportSize({ width: 390, height: 844 });
    await passes(page, 'images, narrow');
  });

  it('with previews of a folder, a training run, a blind vote and its ranking', async () => {
    const page = await open();
    await page.click('#try-demo');
    await ready(page);
    const epochs = Array.from(
      { length: 6 },
      (_, at) => `golden/series/rings-${String(at + 1).padStart(6, '0')}.safetensors`,
    );
    await drop(page, [...epochs, 'golden/upscalers/compact.pth']);
    await page.waitForSelector('[data-testid=series][data-status=read]');
    await page.click('#previews-open');
    await page.fill('#previews-steps', '1');
    await page.locator('#previews-steps').press('Tab');
    await page.click('#previews-start');
    await page.waitForSelector('[data-testid=previews][data-status=made]', PATIENCE);
    await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
    await passes(page, 'previews');
    await page.fill('#steps', '1');
    await page.selectOption('#axis-x', 'lora');
    for (const [at, chip] of (await page.locator('.axis').first().locator('.chip').all()).entries())
      if (at < 2 !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
    await page.click('#draw-grid');
    await page.waitForSelector('#vote-start', PATIENCE);
    await page.click('#vote-start');
    await passes(page, 'vote');
    await page.click('#vote-left');
    await page.setViewportSize({ width: 390, height: 844 });
    await passes(page, 'ranking, narrow');
  });
});

describe('motion', () => {
  it('stands still for people who ask for that, and for nobody else', async () => {
    const { page } = await openDemo(site, { steps: 100 });
    await page.click('#generate');
    await page.waitForSelector('[data-testid=progress]');
    /** Returns the animations that run while an image is generated, when its placeholder pulses. */
    const moving = async (reducedMotion) => {
      await page.emulateMedia({ reducedMotion });
      const found = await page.evaluate(() => ({
        animations: document.getAnimations().length,
        scrolls: getComputedStyle(document.documentElement).scrollBehavior,
      }));
      assert.equal(await page.getByTestId('run').getAttribute('data-status'), 'running', 'it still draws');
      return found;
    };
    const usual = await moving('no-preference');
    assert.ok(usual.animations > 0 && usual.scrolls === 'smooth', JSON.stringify(usual));
    assert.deepEqual(await moving('reduce'), { animations: 0, scrolls: 'auto' });
  });
});
