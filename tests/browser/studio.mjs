/** The page's studio as a person uses it -> pixels and measures of them. */
import assert from 'node:assert/strict';

/** How long a software adapter may take for two pictures. */
export const PATIENCE = { timeout: 300_000 };

/** Waits until a file's report is the one on show. */
export async function reportOf(page, name) {
  await page.waitForSelector(`[data-testid=report][data-file="${name}"]:not([data-status=reading])`);
  return page.getByTestId('report');
}

export async function ready(page) {
  await page.waitForSelector('#generate[aria-disabled=false]', PATIENCE);
}

/** Presses Generate and waits for the end; the pixels of both pictures, null for one that was not asked for. */
export async function generate(page) {
  await page.click('#generate');
  await finished(page);
  assert.equal(await page.locator('#run [role=alert]').count(), 0, await page.getByTestId('run').innerText());
  const drawn = async (which) => ((await page.getByTestId(`picture-${which}`).count()) ? pixels(page, which) : null);
  return { without: await drawn('without'), with: await drawn('with') };
}

export async function finished(page) {
  await page.waitForSelector('[data-testid=run][data-status=idle]', PATIENCE);
}

/** RGBA values of a picture's canvas. */
export async function pixels(page, which) {
  return page.locator(`[data-testid=picture-${which}] canvas`).evaluate((canvas) => {
    const { width, height } = canvas;
    return Array.from(canvas.getContext('2d').getImageData(0, 0, width, height).data);
  });
}

export function deviation(values) {
  const colours = values.filter((_, i) => i % 4 !== 3);
  const mean = colours.reduce((sum, value) => sum + value, 0) / colours.length;
  return Math.sqrt(colours.reduce((sum, value) => sum + (value - mean) ** 2, 0) / colours.length);
}

/** Mean absolute difference of two pictures, in grey levels. */
export function difference(a, b) {
  assert.equal(a.length, b.length);
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]), 0) / a.length;
}
