/** Reports and images in Firefox without WebGPU: images are computed on the processor. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import puppeteer from 'puppeteer-core';
import { STEP, launch } from './harness.mjs';

const FILE = fileURLToPath(new URL('../corpus/files/kohya_lora_r4a1_fp16.safetensors', import.meta.url));

let site;
let firefox;
before(async () => {
  if (!process.env.FIREFOX_PATH) throw new Error('FIREFOX_PATH is not set: run `cargo xtask test browser`');
  site = await launch();
  firefox = await puppeteer.launch({
    browser: 'firefox',
    executablePath: process.env.FIREFOX_PATH,
    headless: true,
    extraPrefsFirefox: { 'dom.webgpu.enabled': false, 'intl.accept_languages': 'en' },
    timeout: STEP,
    protocolTimeout: STEP,
  });
});
after(async () => {
  await firefox?.close();
  await site?.close();
});

const textOf = (page, selector) => page.$eval(selector, (element) => element.innerText);

describe('Firefox', () => {
  it('reads a file from verdict to metadata, and says how to use the graphics card', async () => {
    const page = await firefox.newPage();
    page.setDefaultTimeout(STEP);
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(site.url);
    const picker = await page.waitForSelector('#file-picker');
    await picker.uploadFile(FILE);
    await page.waitForSelector('[data-testid=report][data-status=read]');
    const verdict = await textOf(page, '[data-testid=verdict]');
    for (const said of [/kohya/i, /Stable Diffusion 1/, /Rank\s+4\b/i, /Layers\s+264\b/i]) assert.match(verdict, said);
    await page.waitForSelector('[data-testid=no-webgpu]');
    assert.match(await page.$eval('[data-testid=no-webgpu]', (details) => details.textContent), /Firefox 141/);
    const [wanted, given] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(wanted <= given, `${wanted} px wide in a window of ${given}`);
    assert.deepEqual(errors, []);
  });

  it('generates the demo’s images on the processor', async () => {
    const page = await firefox.newPage();
    page.setDefaultTimeout(STEP);
    await page.goto(site.url);
    await (await page.waitForSelector('#try-demo')).click();
    await page.waitForSelector('[data-testid=device][data-device=cpu]');
    await page.waitForSelector('#generate[aria-disabled=false]');
    await page.$eval('#steps', (field) => {
      field.value = '2';
      field.dispatchEvent(new Event('input', { bubbles: true }));
      field.dispatchEvent(new Event('change', { bubbles: true }));
    });
    await (await page.waitForSelector('#generate')).click();
    await page.waitForSelector('[data-testid=image-with] canvas');
    await page.waitForSelector('[data-testid=run][data-status=idle]');
    const spread = await page.$eval('[data-testid=image-with] canvas', (canvas) => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
      return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
    });
    assert.ok(spread > 10, `an image of deviation ${spread}`);
  });

  it('keeps a file in its library over a reload, and opens without a connection', async () => {
    const page = await firefox.newPage();
    page.setDefaultTimeout(STEP);
    await page.goto(site.url);
    const picker = await page.waitForSelector('#file-picker');
    await picker.uploadFile(FILE);
    await (await page.waitForSelector('#keep')).click();
    await page.waitForSelector('[data-testid=kept][data-status=kept]');
    await page.waitForSelector('[data-testid=app]');
    site.stop();
    await page.reload();
    await page.waitForSelector('[data-testid=kept][data-status=kept]');
    assert.match(
      await page.$eval('[data-testid=kept]', (item) => item.textContent),
      /kohya_lora_r4a1_fp16\.safetensors/,
    );
  });
});
