/** An upscaler's file: its report, hires fix by it, and an image enlarged by it. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { drop, launch } from './harness.mjs';
import { PATIENCE, generate, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Width and height of a PNG. */
const sizeOf = (png) => [png.readUInt32BE(16), png.readUInt32BE(20)];

test('an upscaler is reported, enlarges the image of a hires pass, and an image of the page', async () => {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await reportOf(page, 'duotone.safetensors');
  await ready(page);
  await page.fill('#steps', '2');
  await generate(page);
  await page.click('#enlarge-image');
  await page.getByText('Drop an upscaler’s file').waitFor(PATIENCE);
  await drop(page, ['golden/upscalers/compact.pth']);
  const report = await reportOf(page, 'compact.pth');
  assert.match(await report.innerText(), /Real-ESRGAN Compact, 2x/);
  await page.click('#advanced > summary');
  await page.selectOption('#hires', 'compact');
  await generate(page);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download-without')]);
  const image = await readFile(await download.path());
  const [width, height] = sizeOf(image);
  assert.ok(width > 64 && image.includes('"network":"compact"'));
  const [enlarged] = await Promise.all([page.waitForEvent('download', PATIENCE), page.click('#enlarge-image')]);
  assert.deepEqual(sizeOf(await readFile(await enlarged.path())), [2 * width, 2 * height]);
  assert.deepEqual(errors, []);
});
