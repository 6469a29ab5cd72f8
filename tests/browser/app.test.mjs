/** The page as an installed app: offline use, opened files, share target, and no requests to other origins. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BLANK, SUB_PATH, WITH_WORKER, drop, launch, until } from './harness.mjs';
import { PATIENCE, deviation, generate, ready, reportOf } from './studio.mjs';

const FILE = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const NAME = FILE.split('/').at(-1);
const [KOHYA_PATH, MINI] = [FILE, 'golden/pipelines/mini-sd15'].map((path) =>
  fileURLToPath(new URL(`../${path}`, import.meta.url)),
);

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Waits until the service worker has cached everything that the page needs. */
async function kept(page) {
  await page.getByText('Available offline').waitFor();
}

describe('offline', () => {
  it('reads a file and draws the demo after a reload with the server stopped', async () => {
    const own = await launch();
    try {
      const { page } = await own.open(SUB_PATH, WITH_WORKER);
      await kept(page);
      await page.click('#try-demo');
      await reportOf(page, 'duotone.safetensors');
      await ready(page);
      await page.getByText('million parameters').waitFor(PATIENCE);
      const keptFiles = () =>
        page.evaluate(async () => (await (await caches.open('demo~some~sub~path')).keys()).length);
      const { files } = JSON.parse(await readFile(new URL('../../web/public/demo/demo.json', import.meta.url), 'utf8'));
      await until('the demo to be kept, with its first LoRA', keptFiles, {
        passes: (count) => count >= files.length + 1,
      });
      const bytes = [...(await readFile(new URL(`../${FILE}`, import.meta.url)))];

      own.stop();
      await page.reload();
      await assert.rejects(
        page.evaluate(() => fetch('never-kept.txt')),
        'the server is still there',
      );
      await page.click('#try-demo');
      await reportOf(page, 'duotone.safetensors');
      await ready(page);
      await page.fill('#steps', '1');
      await page.press('#steps', 'Tab');
      assert.ok(deviation((await generate(page)).with) > 10);
      await page.setInputFiles('#file-picker', { name: NAME, mimeType: '', buffer: Buffer.from(bytes) });
      await reportOf(page, NAME);
      assert.match(await page.getByTestId('verdict').innerText(), /Layers\s+264\b/i);
    } finally {
      await own.close();
    }
  });

  it('keeps the shell, the engine once a file was opened, the demo once it is used, and no other model', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    await kept(page);
    const addresses = () =>
      page.evaluate(async () => {
        const all = await Promise.all(
          (await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map(({ url }) => url)),
        );
        return all.flat();
      });
    const first = await addresses();
    assert.ok(
      first.some((url) => url.includes('.wasm')),
      first.join('\n'),
    );
    assert.ok(
      first.some((url) => url.includes('demo/demo.json')),
      first.join('\n'),
    );
    assert.deepEqual(
      first.filter((url) => /demo\/(model|loras)\//.test(url)),
      [],
    );
    assert.ok(
      first.every((url) => url.startsWith(site.url)),
      first.join('\n'),
    );
    const ofEngine = (all) => all.filter((url) => /assets\/engine/.test(url));
    assert.deepEqual(ofEngine(first), []);
    await drop(page, [FILE]);
    await reportOf(page, NAME);
    const then = await until('the engine to be kept', addresses, { passes: (all) => ofEngine(all).length > 1 });
    assert.deepEqual(
      then.filter((url) => !first.includes(url)),
      ofEngine(then),
    );
  });

  it('speaks the chosen language, and generates with an own model, without a connection since the first visit', async () => {
    const own = await launch();
    try {
      const { page } = await own.open(SUB_PATH, { ...WITH_WORKER, locale: 'de' });
      await page.getByText('Offline verfügbar').waitFor();
      await drop(page, [FILE]);
      await reportOf(page, NAME);
      const keptUrls = () =>
        page.evaluate(async () => (await (await caches.open('demo~some~sub~path')).keys()).map(({ url }) => url));
      await until('engine and language to be kept', keptUrls, {
        passes: (urls) =>
          ['/engine-worker-', '/engine_bg-', '/de-', '/report.de-'].every((part) => urls.join().includes(part)),
      });
      own.stop();
      await page.reload();
      await page.getByRole('heading', { level: 1, name: /Leg ein LoRA ab/ }).waitFor();
      await page.setInputFiles('#file-picker', KOHYA_PATH);
      await reportOf(page, NAME);
      await page.setInputFiles('#pick-folder', MINI);
      await page.getByText('mini-sd15: ').waitFor(PATIENCE);
    } finally {
      await own.close();
    }
  });

  it('offers a newer version, and takes it only when asked', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    await kept(page);
    assert.equal(await page.locator('#update').count(), 0);
    // A different worker in the same scope simulates a newer version.
    const worker = await readFile(new URL('../../dist/sw.js', import.meta.url), 'utf8');
    const newer = `${worker}\n// newer`;
    site.changed.set(`${SUB_PATH}sw.js`, newer);
    try {
      await page.evaluate(() => void (window.stillHere = true));
      await page.evaluate(() =>
        navigator.serviceWorker.ready.then((registration) => registration.update()).then(() => {}),
      );
      await page.waitForSelector('#update');
      // The current version stays active while the user works with it.
      await drop(page, [FILE]);
      await reportOf(page, NAME);
      assert.equal(await page.evaluate(() => window.stillHere), true, 'the page was loaded again unasked');
      const waits = () => page.evaluate(() => navigator.serviceWorker.ready.then(({ waiting }) => waiting !== null));
      assert.equal(await waits(), true, 'the newer version took over unasked');
      const other = await page.context().newPage();
      await other.goto(site.url);
      await other.waitForSelector('#update');
      await Promise.all([page.waitForEvent('load'), page.click('#update')]);
      assert.equal(await page.evaluate(() => window.stillHere), undefined);
      assert.equal(await waits(), false);
      // The other tab is told, and loads again when the user wants it.
      await other.locator('[data-kind=stale]').waitFor();
      await Promise.all([other.waitForEvent('load'), other.click('#reload')]);
      await other.waitForSelector('#try-demo');
      assert.equal(await other.locator('[data-kind=stale]').count(), 0);
    } finally {
      site.changed.clear();
    }
  });
});

/** Publishes a newer version: the engine and other parts of the one before it are gone. */
async function publish() {
  const page = await readFile(new URL('../../dist/index.html', import.meta.url), 'utf8');
  const newer = page.replace(/(<script[^>]* src="[^"]*\/)index-[^"]+"/, '$1index-newer.js"');
  assert.notEqual(newer, page);
  site.changed.set(SUB_PATH, newer);
  for (const name of await readdir(new URL('../../dist/assets/', import.meta.url)))
    if (/^(engine|zh-)/.test(name)) site.changed.set(`${SUB_PATH}assets/${name}`, null);
}

describe('a page of an older version', () => {
  afterEach(() => site.changed.clear());

  for (const [part, want] of [
    ['the engine', (page) => page.click('#try-demo')],
    ['a language', (page) => page.selectOption('#language', 'zh')],
  ])
    it(`whose server has ${part} no more says so, and is loaded again with its work`, async () => {
      const { page } = await site.open();
      await drop(page, [FILE]);
      await reportOf(page, NAME);
      await page.fill('#prompt', 'a cat of an older version');
      await publish();
      await want(page);
      const stale = page.locator('[data-kind=stale]');
      await stale.waitFor();
      assert.match(await stale.innerText(), /This page is an older version[^]*form and images are restored/);
      site.changed.clear();
      await page.locator('#reload[aria-disabled=false]').waitFor();
      await page.fill('#prompt', 'a cat that was typed last');
      await Promise.all([page.waitForEvent('load'), page.click('#reload')]);
      await drop(page, [FILE]);
      await reportOf(page, NAME);
      await until('the prompt', () => page.locator('#prompt').inputValue(), {
        passes: (text) => text === 'a cat that was typed last',
      });
      assert.equal(await stale.count(), 0);
    });

  it('that is kept for offline use takes the newer version first', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    await kept(page);
    await publish();
    const worker = await readFile(new URL('../../dist/sw.js', import.meta.url), 'utf8');
    site.changed.set(`${SUB_PATH}sw.js`, `${worker}\n// newer`);
    await page.click('#try-demo');
    await page.waitForSelector('#update');
    assert.equal(await page.locator('[data-kind=stale]').count(), 0);
  });

  it('is not suspected while the connection is gone', async () => {
    const { page } = await site.open();
    await publish();
    site.changed.set(SUB_PATH, null);
    await page.click('#try-demo');
    await page.getByText('A part of the page could not be loaded').first().waitFor();
    await page.waitForLoadState('networkidle');
    assert.equal(await page.locator('[data-kind=stale]').count(), 0);
  });
});

describe('as an app', () => {
  it('can be installed: manifest and icons are what they say', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    const address = await page.locator('link[rel=manifest]').evaluate((link) => link.href);
    const manifest = await page.evaluate((url) => fetch(url).then((response) => response.json()), address);
    assert.equal(new URL(manifest.start_url, address).pathname, SUB_PATH);
    assert.deepEqual(manifest.file_handlers[0].accept, { 'application/octet-stream': ['.safetensors'] });
    for (const { src, sizes } of manifest.icons) {
      const size = await page.evaluate(async (url) => {
        const image = new Image();
        image.src = url;
        await image.decode();
        return [image.naturalWidth, image.naturalHeight];
      }, new URL(src, address).href);
      if (sizes !== 'any') assert.equal(size.join('x'), sizes, src);
    }
    const problems = await (await page.context().newCDPSession(page)).send('Page.getInstallabilityErrors');
    const unmet = problems.installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== 'in-incognito');
    assert.deepEqual(unmet, []);
  });

  it('reads the files that it is launched with', async () => {
    const { page, errors } = await site.open(BLANK);
    await page.addInitScript(() => {
      Object.defineProperty(window, 'launchQueue', { value: { setConsumer: (take) => (window.launchWith = take) } });
    });
    await page.goto(site.url);
    await page.waitForFunction(() => window.launchWith);
    await page.evaluate(async (path) => {
      const blob = await (await fetch(`/tests/${path}`)).blob();
      await window.launchWith({ files: [{ getFile: async () => new File([blob], path.split('/').at(-1)) }] });
    }, FILE);
    await reportOf(page, NAME);
    assert.match(await page.getByTestId('verdict').innerText(), /kohya/i);
    assert.deepEqual(errors, []);
  });

  it('reads the files that are shared to it', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    await kept(page);
    await page.goto(new URL(BLANK, site.url).href);
    // A share arrives as a form submission. It is triggered by a click, since evaluated code that navigates away never
    // returns.
    await page.evaluate(
      async ([path, action]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([await (await fetch(`/tests/${path}`)).blob()], path.split('/').at(-1)));
        const form = Object.assign(document.createElement('form'), {
          method: 'POST',
          enctype: 'multipart/form-data',
          action,
        });
        const input = Object.assign(document.createElement('input'), {
          type: 'file',
          name: 'files',
          files: transfer.files,
        });
        form.append(input, Object.assign(document.createElement('button'), { id: 'share', textContent: 'Share' }));
        document.body.append(form);
      },
      [FILE, `${site.url}share`],
    );
    await page.click('#share');
    await reportOf(page, NAME);
    assert.equal(page.url(), site.url);
    await page.reload();
    await page.waitForSelector('#try-demo');
    assert.equal(await page.locator('[data-testid=report]').count(), 0, 'a shared file is read once');
  });

  it('is refused every foreign address by its own policy', async () => {
    const { page } = await site.open();
    const elsewhere = site.url.replace('127.0.0.1', 'localhost');
    await page.evaluate(() => {
      window.refused = [];
      addEventListener('securitypolicyviolation', ({ blockedURI, effectiveDirective }) =>
        window.refused.push([blockedURI, effectiveDirective]),
      );
    });
    const reach = (url) =>
      fetch(url, { mode: 'no-cors' }).then(
        () => 'reached',
        () => 'refused',
      );
    assert.equal(await page.evaluate(reach, `${elsewhere}icon.svg`), 'refused');
    const violations = await until('the policy to say what it refused', () => page.evaluate(() => window.refused), {
      passes: ({ length }) => length > 0,
    });
    assert.deepEqual(violations, [[`${elsewhere}icon.svg`, 'connect-src']]);
  });
});
