/**
 * What goes wrong is said, and the rest of the page works on: blocked storage, lost workers, faults, and tasks that are
 * cancelled.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BLANK, drop, launch, soon } from './harness.mjs';
import { reportOf } from './studio.mjs';

const KOHYA = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const MINI = fileURLToPath(new URL('../golden/pipelines/mini-sd15', import.meta.url));
let site;

/** Opens the page after a script has run in it. */
async function openWith(script, options) {
  const opened = await site.open(BLANK, options);
  await opened.page.addInitScript(script);
  await opened.page.goto(site.url);
  await opened.page.waitForSelector('#try-demo');
  return opened;
}

describe('the page', () => {
  before(async () => (site = await launch()));
  after(() => site?.close());

  it('works with all storage blocked', async () => {
    const { page, errors } = await openWith(() => {
      const blocked = () => {
        throw new DOMException('The request was denied.', 'SecurityError');
      };
      for (const name of ['localStorage', 'sessionStorage', 'indexedDB', 'caches'])
        Object.defineProperty(window, name, { get: blocked });
      for (const name of ['storage', 'serviceWorker'])
        Object.defineProperty(Navigator.prototype, name, { get: blocked });
      navigator.locks.request = async () => blocked();
    });
    await drop(page, [KOHYA]);
    const report = await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.waitForSelector('[data-testid=report][data-status=read]');
    assert.match(await report.innerText(), /Stable Diffusion 1/);
    await page.selectOption('#language', 'de');
    await page.waitForFunction(() => document.documentElement.lang === 'de');
    assert.equal(await page.locator('[data-testid=message][data-kind=view], [role=alert]').count(), 0);
    assert.deepEqual(errors, []);
  });

  it('says faults that nothing else catches, each once', async () => {
    const { page } = await openWith(() => {});
    await page.evaluate(() => {
      for (let time = 0; time < 2; time++) void Promise.reject(new Error('a lost promise'));
      setTimeout(() => {
        throw new Error('a lost fault');
      });
    });
    await page.getByText('a lost fault').waitFor();
    await soon(async () => assert.equal(await page.getByText('a lost promise').count(), 1));
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
  });

  it('says when a part of it does not load, and what to do', async () => {
    const { page } = await openWith(() => {});
    await page.route(/assets\/work-/, (route) => route.abort());
    await drop(page, [KOHYA]);
    await page.getByText('A part of the page could not be loaded').waitFor();
    assert.equal(await page.getByTestId('report').count(), 0);
    await page.unroute(/assets\/work-/);
    await page.reload();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
  });

  it('says when the engine cannot be fetched, keeps the model, and generates once it can', async () => {
    const { page } = await openWith(() => {});
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    for (const part of [/assets\/engine-worker/, /assets\/engine_bg.*wasm/]) {
      await page.context().route(part, (route) => route.abort());
      await page.setInputFiles('#pick-folder', MINI);
      const message = page.getByTestId('message').filter({ hasText: 'Engine error' }).last();
      await message.getByText(/A part of the page could not be (loaded|started).*Check the connection/).waitFor();
      await soon(async () => {
        assert.equal(await page.locator('#base option:checked').innerText(), 'mini-sd15');
        assert.equal(await page.locator('.base .spinner').count(), 0, 'nothing is being opened');
      });
      await page.context().unroute(part);
      await message.getByRole('button').click();
      await page.selectOption('#base', 'demo');
    }
    await page.selectOption('#base', { label: 'mini-sd15' });
    await page.getByText('mini-sd15: ').waitFor();
  });

  it('says when the worker for web addresses does not load, and tries it again', async () => {
    const { page } = await openWith(() => {
      // Only the page's own policy makes addresses of scripts.
      let policy;
      const create = TrustedTypePolicyFactory.prototype.createPolicy;
      TrustedTypePolicyFactory.prototype.createPolicy = function (name, rules) {
        const made = create.call(this, name, rules);
        if (name === 'loupe') policy = made;
        return made;
      };
      const Real = Worker;
      window.Worker = class extends Real {
        constructor(address, options) {
          const isMissing = String(address).includes('remote-worker') && !window.repaired;
          super(isMissing ? policy.createScriptURL(`${address}.missing`) : address, options);
        }
      };
    });
    const ask = async () => {
      await page.locator('#address').fill('https://127.0.0.1:1/some/file.safetensors');
      await page.locator('#address').press('Enter');
    };
    await page.getByText('or open from a URL').click();
    await ask();
    await page.getByText(/could not be loaded/).waitFor();
    await page.evaluate(() => void (window.repaired = true));
    await ask();
    await page.getByText(/Can’t reach 127\.0\.0\.1:1/).waitFor();
  });

  it('confirms what was copied', async () => {
    const { page } = await openWith(() => {}, { permissions: ['clipboard-read', 'clipboard-write'] });
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.click('#copy-report');
    await page.getByTestId('toasts').getByText('copied').waitFor();
    await page.getByTestId('toasts').waitFor({ state: 'detached' });
  });

  it('lists what runs, and cancels it there', async () => {
    const { page } = await openWith(() => {});
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await page.waitForSelector('#generate[aria-disabled=false]');
    await page.click('#generate');
    const task = page.getByTestId('activity').locator('[data-kind=generate]');
    await task.waitFor();
    assert.equal(await page.getAttribute('[data-testid=run]', 'data-status'), 'running');
    await task.getByRole('button').click();
    await page.waitForSelector('[data-testid=run][data-status=idle]');
    await page.getByTestId('activity').waitFor({ state: 'detached' });
  });
});
