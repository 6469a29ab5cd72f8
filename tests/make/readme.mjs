/**
 * The README's pictures, of dist/ in Chromium: node tests/make/readme.mjs writes docs/{report,map,run,folder}.png.
 * CHROME_PATH names the browser, as in the tests.
 */
import { readdir } from 'node:fs/promises';
import { drop, launch } from '../browser/harness.mjs';
import { enter, generate, openDemo } from '../browser/studio.mjs';

const DOCS = new URL('../../docs/', import.meta.url).pathname;
const site = await launch();
const { page } = await openDemo(
  { open: () => site.open(undefined, { viewport: { width: 1200, height: 900 } }) },
  { steps: 6, guidance: 2 },
);
await page.getByRole('button', { name: 'Close the guide' }).click();
const shot = (name, target = page) => target.screenshot({ path: `${DOCS}${name}.png`, animations: 'disabled' });

await page.getByTestId('activity').waitFor({ state: 'detached' });
await page.evaluate(() => scrollTo(0, 0));
await shot('report');
await page.locator('#coverage .tile, [data-testid=coverage] .tile').nth(40).click();
await page.getByTestId('layer').waitFor();
await page.mouse.move(0, 0);
await shot('map', page.getByTestId('coverage'));

await page.getByRole('button', { name: 'panda', exact: true }).click();
await enter(page, { seed: 0 });
await generate(page);
const clip = await page.locator('#run .studio').evaluate((studio) => {
  studio.querySelector('.stage').style.position = 'static'; // it would follow the scrolled window
  const { x, y, width } = studio.getBoundingClientRect();
  return { x: x + scrollX, y: y + scrollY, width, height: 441 };
});
await page.screenshot({ path: `${DOCS}run.png`, clip, fullPage: true, animations: 'disabled' });

const { page: many } = await site.open(undefined, { viewport: { width: 1160, height: 900 } });
await many.waitForSelector('#try-demo');
const corpus = (await readdir(new URL('../corpus/files/', import.meta.url))).filter((name) =>
  /^[k-z].*\.safetensors$/.test(name),
);
await drop(
  many,
  corpus.slice(0, 40).map((name) => `corpus/files/${name}`),
);
await many.waitForSelector('[data-testid=folder][data-done=yes]');
const folder = await many.getByTestId('folder').boundingBox();
await many.screenshot({ path: `${DOCS}folder.png`, clip: { ...folder, height: Math.min(folder.height, 775) } });
await site.close();
