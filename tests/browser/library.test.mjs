/** The library: stored files, interrupted and resumed downloads, two tabs. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { BLANK, SUB_PATH, WITH_WORKER, drop, elsewhere, launch, until } from './harness.mjs';
import { reportOf } from './studio.mjs';

const FILE = 'golden/loras/mini-sd15/lora_a.safetensors';
const bytes = await readFile(new URL(`../${FILE}`, import.meta.url));
const sha256 = createHash('sha256').update(bytes).digest('hex');

let site;
before(async () => (site = await launch()));
after(() => site?.close());

const openLibrary = async (page) => {
  await page.waitForSelector('#library');
  if (!(await page.locator('#library').evaluate((details) => details.open))) await page.click('#library summary');
};
const item = (page, status) => page.locator(`[data-testid=kept][data-status=${status}]`);

async function begin(page, address, hash = '') {
  await openLibrary(page);
  await page.fill('#download-address', address);
  await page.fill('#download-sha256', hash);
  await page.click('#download-begin');
}

/** Waits until the first bytes of a download of FILE are written and displayed. */
const arriving = (page) =>
  item(page, 'working')
    .getByText(/[1-9]\d* KB of 159 KB/)
    .waitFor();

describe('the library', () => {
  it('keeps a dropped file over a reload, and lets it go', async () => {
    const { page, errors } = await site.open();
    await drop(page, [FILE]);
    await reportOf(page, 'lora_a.safetensors');
    await page.click('#keep');
    await openLibrary(page);
    await item(page, 'kept').waitFor();
    await page.reload();
    await openLibrary(page);
    assert.match(
      await item(page, 'kept').innerText(),
      new RegExp(`lora_a\\.safetensors\\s+[\\s\\S]*${sha256.slice(0, 12)}`),
    );
    await item(page, 'kept').getByRole('button', { name: 'Open' }).click();
    await reportOf(page, 'lora_a.safetensors');
    await item(page, 'kept').getByRole('button', { name: 'Delete' }).click();
    await page.getByText('Nothing yet').waitFor();
    await page.reload();
    await openLibrary(page);
    await page.getByText('Nothing yet').waitFor();
    assert.deepEqual(errors, []);
  });

  it('keeps a file of the visitor without a copy where the browser gives a handle', async () => {
    const { page } = await site.open(BLANK);
    await page.addInitScript(() =>
      Object.defineProperty(window, 'launchQueue', { value: { setConsumer: (take) => (window.launchWith = take) } }),
    );
    await page.goto(site.url);
    await page.waitForFunction(() => window.launchWith);
    // A handle of the origin private file system works like any other file handle.
    await page.evaluate(async (path) => {
      const blob = await (await fetch(`/tests/${path}`)).blob();
      const handle = await (await navigator.storage.getDirectory()).getFileHandle('mine.safetensors', { create: true });
      const writable = await handle.createWritable();
      await writable.write(blob);
      await writable.close();
      await window.launchWith({ files: [handle] });
    }, FILE);
    await reportOf(page, 'mine.safetensors');
    await page.click('#keep');
    await openLibrary(page);
    await item(page, 'own').waitFor();
    const copies = () =>
      page.evaluate(async () => {
        const library = await (
          await navigator.storage.getDirectory()
        ).getDirectoryHandle('library~some~sub~path', { create: true });
        return (await Array.fromAsync(library.keys())).length;
      });
    assert.equal(await copies(), 0);
    await page.reload();
    await openLibrary(page);
    await item(page, 'own').getByRole('button', { name: 'Open' }).click();
    // The page may be opening it by itself, as it was open before the reload.
    await reportOf(page, 'mine.safetensors', 'read');
    await page.evaluate(async () => (await navigator.storage.getDirectory()).removeEntry('mine.safetensors'));
    await item(page, 'own').getByRole('button', { name: 'Open' }).click();
    await page.getByText('no longer where it was').waitFor();
    await item(page, 'own').getByRole('button', { name: 'Remove from Library' }).click();
    await page.getByText('Nothing yet').waitFor();
  });

  it('shows how much of the demo is kept, keeps all of it and lets it go', async () => {
    const { page } = await site.open(SUB_PATH, WITH_WORKER);
    await page.getByText('Available offline').waitFor();
    await openLibrary(page);
    const demo = page.getByTestId('kept-demo');
    const { files, loras } = JSON.parse(
      await readFile(new URL('../../web/public/demo/demo.json', import.meta.url), 'utf8'),
    );
    const entries = [...files, ...loras];
    const megabytes = Math.round(entries.reduce((sum, { size }) => sum + size, 0) / 1e6);
    const said = await demo.innerText();
    assert.ok(said.includes(`${megabytes} MB, 0 of ${entries.length} files downloaded`), said);
    await page.click('#keep-demo');
    await demo.getByText(', downloaded').waitFor();
    await page.click('#drop-demo');
    await demo.getByText(`0 of ${entries.length} files`).waitFor();
  });

  it('goes on with a download that the network cut off, after a reload', async () => {
    const far = await elsewhere(bytes, { most: 100_000 });
    try {
      const { page } = await site.open();
      await begin(page, far.address, sha256);
      await arriving(page);
      far.cut();
      await item(page, 'part').getByRole('alert').waitFor();
      assert.match(await item(page, 'part').innerText(), /was lost after \d+(\.\d)? KB/);
      await page.reload();
      await openLibrary(page);
      await item(page, 'part').getByRole('button', { name: 'Resume' }).click();
      await item(page, 'kept').waitFor();
      const [first, second] = far.asked.map(({ range }) => range);
      const [, got] = /^bytes=(\d+)-$/.exec(second);
      assert.ok(
        first === '' && far.asked.length === 2 && Number(got) > 0 && Number(got) <= 100_000,
        JSON.stringify(far.asked),
      );
      assert.ok(
        far.asked.every(({ cookie, referer }) => !cookie && !referer),
        JSON.stringify(far.asked),
      );
      assert.match(await item(page, 'kept').innerText(), new RegExp(sha256.slice(0, 12)));
      await item(page, 'kept').getByRole('button', { name: 'Open' }).click();
      await reportOf(page, 'far.safetensors', 'read');
    } finally {
      far.close();
    }
  });

  it('goes on after the page was killed, and stops when asked', async () => {
    const far = await elsewhere(bytes, { most: 100_000 });
    try {
      const { page } = await site.open();
      await begin(page, far.address);
      await arriving(page);
      const other = await page.context().newPage();
      await page.close();
      await other.goto(site.url);
      await openLibrary(other);
      await item(other, 'part').getByRole('button', { name: 'Resume' }).click();
      await item(other, 'kept').waitFor();
      assert.match(far.asked[1].range, /^bytes=[1-9]\d*-$/);
      assert.match(await item(other, 'kept').innerText(), new RegExp(sha256.slice(0, 12)));
    } finally {
      far.close();
    }
    const slow = await elsewhere(bytes, { most: 100_000 });
    try {
      const { page } = await site.open();
      await begin(page, slow.address);
      await until('the download to be asked for', () => slow.asked.length);
      await item(page, 'working').getByRole('button', { name: 'Stop' }).click();
      await item(page, 'part').waitFor();
      assert.equal(await item(page, 'part').getByRole('alert').count(), 0);
    } finally {
      slow.close();
    }
  });

  it('throws away what is not the file that was meant', async () => {
    const far = await elsewhere(bytes);
    try {
      const { page } = await site.open();
      await begin(page, far.address, 'f'.repeat(64));
      await item(page, 'part').getByRole('alert').waitFor();
      assert.match(await item(page, 'part').innerText(), new RegExp(`SHA-256 is ${sha256}`));
      assert.match(await item(page, 'part').innerText(), /0 bytes/);
    } finally {
      far.close();
    }
  });

  it('lets one tab at a time work on a file', async () => {
    const far = await elsewhere(bytes, { most: 100_000 });
    try {
      const { page } = await site.open();
      await begin(page, far.address);
      await arriving(page);
      const other = await page.context().newPage();
      await other.goto(site.url);
      await begin(other, far.address);
      await other.getByText('Another tab is using this file').waitFor();
      assert.equal(far.asked.length, 1);
    } finally {
      far.close();
    }
  });
});
