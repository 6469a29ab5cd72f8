/** Reports, links, the library, offline use and images on the processor in WebKit, Safari's engine. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readFile } from 'node:fs/promises';
import { elsewhere, launch, until } from './harness.mjs';
import { launchWebKit } from './webdriver.mjs';

const NAME = 'kohya_lora_r4a1_fp16.safetensors';
const FILE = fileURLToPath(new URL(`../corpus/files/${NAME}`, import.meta.url));

let site;
let webkit;
before(async () => {
  site = await launch();
  webkit = await launchWebKit();
});
after(async () => {
  await webkit?.close();
  await site?.close();
});

describe('WebKit', () => {
  it('reads a file from verdict to metadata, and says how to use the graphics card', async () => {
    const { page } = webkit;
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    const verdict = await page.text('[data-testid=verdict]');
    for (const said of [/kohya/i, /Stable Diffusion 1/, /Rank .*\b4 Alpha/, /Layers .*\b264 Precision/])
      assert.match(verdict, said);
    assert.match(await page.text('[data-testid=no-webgpu]'), /Safari 26/);
    assert.equal(await page.run('() => document.querySelectorAll("[data-kind=view], [role=alert]").length'), 0);
    await page.click('#metadata summary');
    assert.match(await page.text('[data-testid=metadata]'), /Trained on\s+mini-sd15\.safetensors/);
    const [wanted, given] = await page.run('() => [document.documentElement.scrollWidth, innerWidth]');
    assert.ok(wanted <= given, `${wanted} px wide in a window of ${given}`);
  });

  it('generates the demo’s images on the processor', async () => {
    const { page } = webkit;
    await page.open(site.url);
    await page.click('#try-demo');
    await page.find('[data-testid=device][data-device=cpu]');
    await page.find('#generate[aria-disabled=false]');
    await page.click('#generate');
    await page.find('[data-testid=image-with] canvas');
    await page.find('[data-testid=run][data-status=idle]');
    const deviation = await page.run(`() => {
      const canvas = document.querySelector('[data-testid=image-with] canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      const mean = data.reduce((sum, value) => sum + value, 0) / data.length;
      return Math.sqrt(data.reduce((sum, value) => sum + (value - mean) ** 2, 0) / data.length);
    }`);
    assert.ok(deviation > 10, `an image of deviation ${deviation}`);
  });

  it('follows links, old and new', async () => {
    const { page } = webkit;
    await page.open(`${site.url}?#v1&look=ink_icon.safetensors:0123456789abcdef`);
    await page.find('[data-testid=report][data-file="ink_icon.safetensors"][data-status=read]');
    await page.run('() => void (location.hash = "#v9&x")');
    await page.find('[data-testid=message]');
    assert.match(await page.run('() => document.querySelector("#app").textContent'), /version 9/);
  });

  it('keeps a file in the library over a reload, and lets it go', async () => {
    const { page } = webkit;
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    await page.click('#keep');
    await page.click('#library summary');
    await page.find('[data-testid=kept][data-status=kept]');
    await page.reload();
    await page.click('#library summary');
    assert.match(
      await page.text('[data-testid=kept][data-status=kept]'),
      /kohya_lora_r4a1_fp16.*SHA-256 [0-9a-f]{12}/s,
    );
    await page.click('[data-testid=kept] .downloads button');
    await page.find('[data-testid=report][data-status=read]');
    assert.match(await page.text('[data-testid=verdict]'), /kohya/i);
    await page.click('[data-testid=kept] .downloads button:last-child');
    await until('the library to be empty', () => page.run('() => !document.querySelector("[data-testid=kept]")'));
  });

  it('goes on with a download that was cut off, and checks it', async () => {
    const bytes = await readFile(FILE);
    const far = await elsewhere(bytes, { most: 100_000 });
    try {
      const { page } = webkit;
      await page.type('#download-address', far.address);
      await page.click('#download-begin');
      await page.find('[data-testid=kept][data-status=working]');
      await until('its first bytes', async () => / KB of /.test(await page.text('[data-testid=kept]')));
      far.cut();
      await page.find('[data-testid=kept][data-status=part] [role=alert]');
      await page.click('[data-testid=kept] .downloads button');
      await page.find('[data-testid=kept][data-status=kept]');
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      assert.ok((await page.text('[data-testid=kept]')).includes(sha256.slice(0, 12)));
      assert.match(far.asked.at(-1).range, /^bytes=[1-9]\d*-$/);
    } finally {
      far.close();
    }
  });

  it('opens without a connection', async () => {
    const { page } = webkit;
    await page.find('[data-testid=app]');
    site.stop();
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    assert.match(await page.text('[data-testid=verdict]'), /kohya/i);
  });
});
