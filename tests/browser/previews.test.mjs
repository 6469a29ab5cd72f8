/** Previews of a folder's LoRAs, with the demo model: made, saved as web UIs look for them, gone on with after a reload. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, it } from 'node:test';
import { drop, launch, soon } from './harness.mjs';
import { PATIENCE, enter, finished, openDemo } from './studio.mjs';

const FOLDER = 'golden/series';
const RUN = Array.from({ length: 6 }, (_, at) => `rings-${String(at + 1).padStart(6, '0')}.safetensors`);
/** Of other models, or no LoRA at all. */
const UNFIT = ['corpus/files/kohya_lora_r4a1_fp16.safetensors', 'golden/upscalers/compact.pth'];

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** A page with the demo model and a table of files, its panel for previews open with a recipe of one step. */
async function openPanel() {
  const { page, errors } = await openDemo(site);
  await table(page);
  await page.click('#previews-open');
  await page.waitForSelector('[data-testid=previews]');
  await enter(page, { 'previews-prompt': '{trigger}, panda', 'previews-steps': 1, 'previews-guidance': 1 });
  return { page, errors };
}

async function table(page) {
  await drop(page, [...RUN.map((name) => `${FOLDER}/${name}`), ...UNFIT]);
  await page.waitForSelector('[data-testid=folder][data-done=yes]');
}

const status = (page, wanted) => page.waitForSelector(`[data-testid=previews][data-status=${wanted}]`, PATIENCE);
const images = (page) => page.locator('td.preview img');
/** Names and sizes of the files in the browser's own disk space, which stands for a folder of the user's. */
const written = (page) =>
  page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('loras');
    const all = {};
    for await (const [name, handle] of folder.entries()) all[name] = (await handle.getFile()).size;
    return all;
  });
/** What the browser's dialogue for folders gives, with some files in it. */
const withFolder = (page, names = []) =>
  page.evaluate(async (names) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('loras', { create: true });
    for (const name of names) {
      const writing = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await writing.write('mine');
      await writing.close();
    }
    window.showDirectoryPicker = async () => folder;
  }, names);

it('each LoRA that fits gets an image, the others a reason; a cancelled run goes on', async () => {
  const { page, errors } = await openPanel();
  await page.click('#previews-start');
  await images(page).first().waitFor(PATIENCE);
  await page.click('#previews-stop');
  await status(page, 'stopped');
  const before = await images(page).count();
  assert.ok(before >= 1 && before < RUN.length, `${before} images`);
  assert.match(await page.locator('#previews-start').innerText(), /Go on/);
  await page.click('#previews-start');
  await status(page, 'made');
  assert.equal(await images(page).count(), RUN.length);
  const sources = await images(page).evaluateAll((all) => all.map(({ alt, naturalWidth }) => [alt, naturalWidth]));
  assert.deepEqual(
    sources,
    RUN.map((name) => [`Preview of ${name}`, 64]),
  );
  await page.click('[data-testid=previews-passed] summary');
  const passed = await page.getByTestId('previews-passed').innerText();
  assert.match(passed, /kohya_lora_r4a1_fp16\.safetensors: Its layers have other sizes than those of Tiny emoji SD/);
  assert.match(passed, /compact\.pth: It is no LoRA/);
  assert.deepEqual(errors, []);

  // The zip has each image under the name that web UIs look for, with its recipe inside.
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#previews-zip')]);
  assert.equal(download.suggestedFilename(), 'lora-previews.zip');
  const zip = await readFile(await download.path());
  for (const name of RUN) assert.ok(zip.includes(name.replace('.safetensors', '.preview.png')), name);
  assert.ok(zip.includes('rings-000001') && zip.includes('panda'), 'the recipe');

  // A browser that can write to no folder has the copies in a zip.
  await page.evaluate(() => delete window.showDirectoryPicker);
  const [copies] = await Promise.all([page.waitForEvent('download'), page.click('#previews-embedded')]);
  assert.equal(copies.suggestedFilename(), 'loras-with-thumbnails.zip');
  const loras = (await readFile(await copies.path())).toString('latin1');
  for (const name of RUN) assert.ok(loras.includes(name), name);
  assert.equal(loras.split('"modelspec.thumbnail":"data:image/jpeg;base64,').length - 1, RUN.length);
  assert.deepEqual(errors, []);
});

it('they are written beside the files and into copies, and nothing is overwritten', async () => {
  const { page, errors } = await openPanel();
  await page.click('#previews-start');
  await status(page, 'made');
  await withFolder(page, ['rings-000002.preview.png', 'rings-000003.safetensors']);
  await page.click('#previews-folder');
  await page.getByTestId('previews-saved').waitFor();
  assert.equal(
    await page.getByTestId('previews-saved').innerText(),
    '5 images saved in loras. 1 was there already and stays.',
  );
  const after = await written(page);
  assert.equal(after['rings-000002.preview.png'], 4, 'the user’s own stays');
  assert.ok(after['rings-000001.preview.png'] > 500, JSON.stringify(after));

  await page.click('#previews-embedded');
  await soon(async () =>
    assert.equal(await page.getByTestId('previews-saved').innerText(), '6 copies with thumbnails saved in loras.'),
  );
  const copies = await written(page);
  assert.equal(copies['rings-000003.safetensors'], 4);
  const header = await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('loras');
    const file = await (await folder.getFileHandle('rings-000003.thumbnail.safetensors')).getFile();
    const length = Number(new DataView(await file.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
    const { __metadata__: metadata } = JSON.parse(await file.slice(8, 8 + length).text());
    return { metadata, data: file.size - 8 - length };
  });
  assert.match(header.metadata['modelspec.thumbnail'], /^data:image\/jpeg;base64,/);
  assert.equal(header.metadata.ss_output_name, 'rings', 'the rest of the metadata stays');
  const source = await readFile(new URL(`../${FOLDER}/rings-000003.safetensors`, import.meta.url));
  assert.equal(header.data, source.length - 8 - Number(source.readBigUInt64LE(0)), 'the tensors too');
  assert.deepEqual(errors, []);
});

it('what the user generates goes first', async () => {
  const { page, errors } = await openPanel();
  // Images that take seconds, so that their state can be seen.
  await page.fill('#steps', '100');
  await page.click('#previews-start');
  await images(page).first().waitFor(PATIENCE);
  await page.click('#generate');
  await page.waitForSelector('[data-testid=run]:not([data-status=idle])', PATIENCE);
  await soon(async () => assert.match(await page.getByTestId('previews-progress').innerText(), /Waits until your own/));
  const before = await images(page).count();
  await finished(page);
  assert.ok((await images(page).count()) <= before + 1, 'none in between');
  await status(page, 'made');
  assert.equal(await images(page).count(), RUN.length);
  assert.deepEqual(errors, []);
});

it('a reload loses none, and German, the keyboard and a narrow window do', async () => {
  const { page, errors } = await openPanel();
  await page.click('#previews-start');
  await images(page).first().waitFor(PATIENCE);
  await soon(async () => assert.ok((await images(page).count()) >= 2), PATIENCE.timeout);
  await page.reload();
  const left = page.locator('[data-kind=previews]');
  await left.waitFor();
  assert.match(await left.innerText(), /Previews of some files: \d of 8 are done and not saved yet/);
  await page.setViewportSize({ width: 390, height: 844 });
  await page.selectOption('#language', 'de');
  await page.click('#try-demo');
  await page.waitForSelector('#generate[aria-disabled=false]', PATIENCE);
  await table(page);
  await page.locator('#previews-open').press('Enter');
  await page.waitForSelector('[data-testid=previews]');
  assert.equal(await page.inputValue('#previews-prompt'), '{trigger}, panda', 'the recipe is that of the last visit');
  await page.locator('#previews-start').press('Enter');
  await status(page, 'made');
  assert.equal(await images(page).count(), RUN.length);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 390, `${wide} pixels`);
  assert.match(await page.getByTestId('previews').innerText(), /6 erzeugt, 2 ausgelassen, 0 fehlgeschlagen/);
  assert.deepEqual(errors, []);
});

it('a folder is opened again after a reload, and its images are written into it', async () => {
  const { page, errors } = await openDemo(site);
  // The browser's own disk space stands for a folder of the user's: its handles are of the same kind.
  await page.evaluate(async (names) => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('loras', { create: true });
    const below = await folder.getDirectoryHandle('below', { create: true });
    const files = [];
    for (const [at, name] of names.entries()) {
      const handle = await (at ? folder : below).getFileHandle(name, { create: true });
      await (await fetch(`/tests/golden/series/${name}`)).body.pipeTo(await handle.createWritable());
      files.push({ path: at ? name : `below/${name}`, file: await handle.getFile() });
    }
    const folders = [{ name: 'loras', files, handle: folder }];
    const detail = { files: [], handles: [], folders, place: '' };
    document.querySelector('drop-zone').dispatchEvent(new CustomEvent('files', { detail }));
  }, RUN);
  await page.waitForSelector('[data-testid=folder][data-done=yes]');
  await page.click('#previews-open');
  await page.waitForSelector('[data-testid=previews]');
  await enter(page, { 'previews-steps': 1, 'previews-guidance': 1 });
  await page.click('#previews-start');
  await images(page).first().waitFor(PATIENCE);
  await page.reload();
  await page.locator('[data-kind=previews]', { hasText: 'Previews of loras' }).waitFor();
  await page.click('#previews-resume');
  await status(page, 'made');
  assert.equal(await images(page).count(), RUN.length);
  assert.equal(await page.locator('[data-kind=previews]').count(), 0);
  await page.click('#previews-folder');
  await page.getByTestId('previews-saved').waitFor();
  assert.equal(await page.getByTestId('previews-saved').innerText(), '6 images saved in loras.');
  const there = await page.evaluate(async () => {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('loras');
    const below = await folder.getDirectoryHandle('below');
    await folder.getFileHandle('rings-000002.preview.png');
    return (await (await below.getFileHandle('rings-000001.preview.png')).getFile()).size;
  });
  assert.ok(there > 500, `${there} bytes`);
  await page.reload();
  await page.waitForSelector('#try-demo');
  assert.equal(await page.locator('[data-kind=previews]').count(), 0, 'what is saved is not asked for');
  assert.deepEqual(errors, []);
});
