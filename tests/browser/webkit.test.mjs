/** Reports, the library and links in WebKit, Safari's engine. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './harness.mjs';
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
  it('reads a file from verdict to metadata, and says what drawing lacks', async () => {
    const { page } = webkit;
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    const verdict = await page.text('[data-testid=verdict]');
    for (const said of [/kohya/i, /Stable Diffusion 1/, /Rank\s+4\b/i, /Layers\s+264\b/i]) assert.match(verdict, said);
    assert.match(await page.text('[data-testid=no-webgpu]'), /Safari 26/);
    assert.equal(
      await page.run('() => document.querySelectorAll("#generate, [data-kind=view], [role=alert]").length'),
      0,
    );
    await page.click('#metadata summary');
    assert.match(await page.text('[data-testid=metadata]'), /Trained on\s+mini-sd15\.safetensors/);
    const [wanted, given] = await page.run('() => [document.documentElement.scrollWidth, innerWidth]');
    assert.ok(wanted <= given, `${wanted} px wide in a window of ${given}`);
  });

  it('keeps a file in its library over a reload', async () => {
    const { page } = webkit;
    await page.click('#keep');
    await page.find('[data-testid=kept][data-status=kept]');
    await page.reload();
    await page.find('[data-testid=kept][data-status=kept]');
    await page.click('#library summary');
    assert.match(await page.text('[data-testid=kept]'), new RegExp(NAME.replaceAll('.', '\\.')));
    await page.click('[data-testid=kept] button');
    await page.find(`[data-testid=report][data-file="${NAME}"][data-status=read]`);
  });

  it('follows links, old and new', async () => {
    const { page } = webkit;
    await page.open(`${site.url}?#v1&look=ink_icon.safetensors:0123456789abcdef`);
    await page.find('[data-testid=report][data-file="ink_icon.safetensors"][data-status=read]');
    await page.run('() => void (location.hash = "#v9&x")');
    await page.find('[data-testid=message]');
    assert.match(await page.text('#app'), /version 9/);
  });
});
