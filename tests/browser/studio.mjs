/** Helpers that generate images through the page and compare their pixels. */
import assert from 'node:assert/strict';

/** Timeout for two images on a software rasterizer. */
export const PATIENCE = { timeout: 300_000 };

/**
 * Opens a page with the report of the demo's first LoRA, ready to generate with as little work as tells images apart. The
 * first image of a page takes the longest, by the self-test and the pipelines: tests of a file share a page.
 * @param {{ open: () => Promise<{ page: import('playwright-core').Page, errors: string[] }> }} site
 */
export async function openDemo(site, { steps = 1, guidance = 1 } = {}) {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await reportOf(page, 'duotone.safetensors');
  await ready(page);
  await enter(page, { steps, guidance });
  return { page, errors };
}

/** Types values into fields of the form, by their ids, and leaves each. */
export async function enter(page, values) {
  for (const [id, value] of Object.entries(values)) {
    await page.fill(`#${id}`, String(value));
    if ((await page.getAttribute(`#${id}`, 'type')) === 'number') await page.press(`#${id}`, 'Tab');
  }
}

/** Waits until the report of a file is displayed, or with `status` until it has that status. */
export async function reportOf(page, name, status) {
  const wanted = status ? `[data-status=${status}]` : ':not([data-status=reading])';
  await page.waitForSelector(`[data-testid=report][data-file="${name}"]${wanted}`);
  return page.getByTestId('report');
}

export async function ready(page) {
  await page.waitForSelector('#generate[aria-disabled=false]', PATIENCE);
}

/** Presses Generate and waits for the end; returns the pixels of both images, null for one that was not requested. */
export async function generate(page) {
  await page.click('#generate');
  await finished(page);
  assert.equal(await page.locator('#run [role=alert]').count(), 0, await page.getByTestId('run').innerText());
  const drawn = async (which) => ((await page.getByTestId(`image-${which}`).count()) ? pixels(page, which) : null);
  return { without: await drawn('without'), with: await drawn('with') };
}

export async function finished(page) {
  await page.waitForSelector('[data-testid=run][data-status=idle]', PATIENCE);
}

/** Returns the RGBA values of an image's canvas. */
export async function pixels(page, which) {
  return page.locator(`[data-testid=image-${which}] canvas`).evaluate((canvas) => {
    const { width, height } = canvas;
    return Array.from(canvas.getContext('2d').getImageData(0, 0, width, height).data);
  });
}

export function deviation(values) {
  const colours = values.filter((_, i) => i % 4 !== 3);
  const mean = colours.reduce((sum, value) => sum + value, 0) / colours.length;
  return Math.sqrt(colours.reduce((sum, value) => sum + (value - mean) ** 2, 0) / colours.length);
}

/** Returns the mean absolute difference of two images, in levels of 255. */
export function difference(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}
