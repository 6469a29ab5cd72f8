/** A card of a LoRA to share: one PNG and one HTML file, with what the report says and the images of this visit. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';
import { BLANK, drop, launch } from './harness.mjs';
import { generate, openDemo, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

async function saved(page, button) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(button)]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

/** The colours of an image at some places, and its size. */
const looked = (page, bytes) =>
  page.evaluate(
    async (bytes) => {
      const bitmap = await createImageBitmap(new Blob([new Uint8Array(bytes)]));
      const { width, height } = bitmap;
      const context = new OffscreenCanvas(width, height).getContext('2d');
      context.drawImage(bitmap, 0, 0);
      const { data } = context.getImageData(0, 0, width, height);
      const colours = new Set();
      for (let at = 0; at < data.length; at += 4) colours.add((data[at] << 16) | (data[at + 1] << 8) | data[at + 2]);
      return { width, height, colours: [...colours].map((colour) => colour.toString(16).padStart(6, '0')) };
    },
    [...bytes],
  );

it('says what the report says, with a map, and with no images yet', async () => {
  const { page, errors } = await site.open();
  await page.waitForSelector('#try-demo');
  await drop(page, ['golden/series/rings.safetensors']);
  await reportOf(page, 'rings.safetensors', 'read');
  const { name, bytes } = await saved(page, '#card-html');
  assert.equal(name, 'rings.card.html');
  const text = bytes.toString();
  const { page: card } = await site.open(BLANK);
  await card.setContent(text);
  assert.equal(await card.title(), await card.locator('h1').innerText());
  const verdict = (await page.locator('[data-testid=verdict] .sentence').innerText()).trim();
  assert.ok((await card.locator('.verdict').innerText()).startsWith(verdict), verdict);
  assert.ok((await card.locator('svg rect').count()) > 20, 'the map');
  assert.equal(await card.locator('img').count(), 0);
  assert.ok(!/<script|https?:\/\/(?!www\.w3\.org)/.test(text), 'it asks nobody');
  const image = await saved(page, '#card-png');
  assert.equal(image.name, 'rings.card.png');
  const { width, height, colours } = await looked(page, image.bytes);
  assert.equal(width, 1200);
  assert.ok(height > 500, `${height}`);
  assert.ok(colours.includes('efece6') && colours.includes('0a6b67'), 'the rooms of the map, the accent');
  assert.deepEqual(errors, []);
});

it('has the images without and with the LoRA, in the language of the page', async () => {
  const { page, errors } = await openDemo(site);
  const images = await generate(page);
  await page.selectOption('#language', 'de');
  await page.waitForFunction(() => document.documentElement.lang === 'de');
  const { bytes } = await saved(page, '#card-html');
  const { page: card } = await site.open(BLANK);
  await card.setContent(bytes.toString());
  assert.equal(await card.getAttribute('html', 'lang'), 'de');
  assert.deepEqual(await card.locator('figcaption').allInnerTexts(), ['ohne die LoRA', 'mit der LoRA, Stärke 1']);
  const shown = await card.locator('img').evaluateAll((all) =>
    Promise.all(
      all.map(async (image) => {
        await image.decode();
        const context = new OffscreenCanvas(image.naturalWidth, image.naturalHeight).getContext('2d');
        context.drawImage(image, 0, 0);
        return [...context.getImageData(0, 0, image.naturalWidth, image.naturalHeight).data];
      }),
    ),
  );
  assert.deepEqual(shown, [images.without, images.with], 'the same pixels');
  const { height, colours } = await looked(page, (await saved(page, '#card-png')).bytes);
  assert.ok(height > 900, `${height}`);
  assert.ok(colours.length > 200, `${colours.length} colours`);
  assert.deepEqual(errors, []);
});
