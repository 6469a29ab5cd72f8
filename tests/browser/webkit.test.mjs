/** Reports, links, offline use and images on the processor in WebKit, Safari's engine. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch, until, soon } from './harness.mjs';
import { launchWebKit } from './webdriver.mjs';

const NAME = 'kohya_lora_r4a1_fp16.safetensors';
const FILE = fileURLToPath(new URL(`../corpus/files/${NAME}`, import.meta.url));

/** Whether the negative prompt is in the database of the last visit's work. */
const KEPT = `async () => {
  const ask = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const { name } = (await indexedDB.databases()).find(({ name }) => name.startsWith('loupe-session'));
  const database = await ask(indexedDB.open(name));
  const work = await ask(database.transaction('work').objectStore('work').get('work'));
  database.close();
  return work?.form.negative === 'blurry';
}`;

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
    await page.run(`() => {
      const steps = document.querySelector('#steps');
      steps.value = '2';
      steps.dispatchEvent(new Event('change', { bubbles: true }));
    }`);
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
    await soon(async () =>
      assert.match(await page.run('() => document.querySelector("#app").textContent'), /version 9/),
    );
  });

  it('restores the form after a reload, and names the files that only the user can open again', async () => {
    const { page } = webkit;
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    await page.type('#negative', 'blurry');
    await page.find('#forget-session');
    await until('the text to be kept', () => page.run(KEPT));
    await page.reload();
    await page.find('[data-kind=session]');
    assert.ok((await page.text('[data-kind=session]')).includes(`Open again yourself: ${NAME}.`));
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    assert.match(await page.run('() => document.querySelector("#negative").value'), /blurry/);
    await soon(async () =>
      assert.equal(await page.run('() => document.querySelectorAll("[data-kind=session]").length'), 0),
    );
  });

  // There is no library to look at: docs/browsers.md says why (tests/page/library.test.mjs runs its code with streams as
  // Safari's).
  it('offers no library where the private file system refuses, and opens without a connection', async () => {
    const { page } = webkit;
    assert.equal(await page.run('() => document.querySelectorAll("#library, #keep").length'), 0);
    await page.find('[data-testid=app]');
    site.stop();
    await page.open(site.url);
    await page.type('#file-picker', FILE);
    await page.find('[data-testid=report][data-status=read]');
    assert.match(await page.text('[data-testid=verdict]'), /kohya/i);
  });
});
