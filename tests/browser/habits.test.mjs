/**
 * Habits of the web UIs in the browser: the prompt's keys, names to complete, closed files, and work that survives a
 * reload.
 */
import assert from 'node:assert/strict';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { drop, launch, soon, until } from './harness.mjs';
import { PATIENCE, deviation, enter, generate, pixels, ready, reportOf } from './studio.mjs';

const KOHYA = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const LORAS = ['lora_a', 'lora_b'].map((name) => `golden/loras/mini-sd15/${name}.safetensors`);
const MINI = 'golden/pipelines/mini-sd15';

/** A PNG of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Waits until what is kept of the work is as wanted: steps, names of the mask and of what is opened again. */
function keptWork(page, passes) {
  const look = async () => {
    const ask = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
    const found = (await indexedDB.databases()).find(({ name }) => name.startsWith('loupe-session'));
    if (!found) return null;
    const database = await ask(indexedDB.open(found.name));
    const work = await ask(database.transaction('work').objectStore('work').get('work'));
    database.close();
    return (
      work && { steps: work.form.steps, mask: work.mask?.name ?? null, opened: work.opened.map(({ name }) => name) }
    );
  };
  return until('the work to be kept', () => page.evaluate(look), { passes: (work) => Boolean(work) && passes(work) });
}

/** Drops files and folders as a person does, which gives the page handles of them. */
async function dropPaths(page, files) {
  const devtools = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop'])
    await devtools.send('Input.dispatchDragEvent', { type, x: 400, y: 300, data });
}

describe('the prompt', () => {
  it('grows, weighs words, completes names and generates by keys', async () => {
    const { page, errors } = await site.open();
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);
    const prompt = page.locator('#prompt');
    const height = async () => (await prompt.boundingBox()).height;
    await prompt.fill('a red fox');
    const low = await height();
    await prompt.fill(Array.from({ length: 8 }, (_, line) => `line ${line}`).join('\n'));
    assert.ok((await height()) > low + 60, 'it grows with its lines');

    // diffusers has no weights, and says where they are.
    await prompt.fill('a red fox');
    await prompt.press('ControlOrMeta+ArrowUp');
    await page.getByTestId('toasts').getByText('Weights need the prompt syntax').waitFor();
    await page.locator('#advanced summary').click();
    await page.selectOption('#program', 'a1111');
    await prompt.evaluate((area) => area.setSelectionRange(3, 3));
    await prompt.press('ControlOrMeta+ArrowUp');
    await prompt.press('ControlOrMeta+ArrowUp');
    await soon(async () => assert.equal(await prompt.inputValue(), 'a (red:1.2) fox'));
    assert.deepEqual(await prompt.evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd)), 'red');

    await prompt.press('ControlOrMeta+End');
    await prompt.pressSequentially(', ink');
    await page.getByRole('option', { name: 'ink_icon' }).waitFor();
    await prompt.press('Tab');
    await soon(async () => {
      assert.equal(await prompt.inputValue(), 'a (red:1.2) fox, <lora:ink_icon:1>');
      assert.equal(await page.locator('#prompt-names').count(), 0);
    });

    await page.fill('#steps', '1');
    await prompt.press('ControlOrMeta+Enter');
    await page.waitForSelector('[data-testid=run][data-status=running]');
    await page.click('#cancel');
    assert.deepEqual(errors, []);
  });
});

describe('a layer', () => {
  it('shows its numbers to the keyboard, and its file can be closed', async () => {
    const { page, errors } = await site.open();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.click('#modules summary');
    await page.locator('#modules button.path').first().press('Enter');
    await page.getByTestId('layer').waitFor();
    await page.getByRole('button', { name: 'Close kohya_lora_r4a1_fp16.safetensors' }).click();
    await page.getByRole('heading', { level: 1, name: /Drop a LoRA/ }).waitFor();
    assert.deepEqual(errors, []);
  });
});

describe('work', () => {
  it('survives a reload: the form and the last images, until it is forgotten', async () => {
    const { page, errors } = await site.open();
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);
    await page.fill('#prompt', 'a fox');
    await page.selectOption('#lora', '');
    await enter(page, { steps: 1, guidance: 1, batch: 3 });
    await generate(page);
    assert.ok(deviation(await pixels(page, 'without')) > 1);
    await page.getByTestId('history').locator('li').nth(2).waitFor();
    await page.locator('#forget-session').waitFor();
    const latest = () =>
      page
        .getByTestId('history')
        .locator('canvas')
        .first()
        .evaluate((canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]);
    const drawn = await latest();
    const image = { name: 'start.png', mimeType: 'image/png', buffer: Buffer.from(PIXEL, 'base64') };
    await page.setInputFiles('#pick-start', image);
    await page.setInputFiles('#pick-mask', { ...image, name: 'mask.png' });
    await page.getByTestId('mask').getByText('mask.png').waitFor();
    await keptWork(page, ({ mask }) => mask === 'mask.png');
    await page.reload();
    await page.getByTestId('history').locator('li').nth(2).waitFor();
    await soon(async () => {
      assert.equal(await page.inputValue('#prompt'), 'a fox');
      assert.equal(await page.inputValue('#batch'), '3');
      assert.match(await page.getByTestId('start').innerText(), /start\.png/);
      assert.match(await page.getByTestId('mask').innerText(), /mask\.png/);
      assert.deepEqual(await latest(), drawn);
    });

    await page.click('#forget-session');
    await until('the work to be forgotten', () => page.locator('#forget-session').count(), {
      passes: (count) => count === 0,
    });
    await page.reload();
    await page.getByRole('heading', { level: 1, name: /Drop a LoRA/ }).waitFor();
    assert.deepEqual(errors, []);
  });

  it('survives a reload with the user’s own model and LoRAs, as far as the browser finds them again', async () => {
    const { page, errors } = await site.open();
    await page.waitForSelector('#try-demo');
    const folder = await mkdtemp(join(tmpdir(), 'own-'));
    for (const path of [MINI, ...LORAS])
      await cp(new URL(`../${path}`, import.meta.url), join(folder, basename(path)), { recursive: true });
    const own = [MINI, ...LORAS].map((path) => join(folder, basename(path)));
    await dropPaths(page, own);
    await page.getByText('mini-sd15: ').waitFor(PATIENCE);
    await drop(page, [KOHYA]);
    await page.locator('#lora option:checked', { hasText: 'kohya' }).waitFor({ state: 'attached' });
    await page.selectOption('#lora', { label: 'lora_a' });
    await enter(page, { steps: 3, strength: 0.4 });
    await keptWork(page, ({ steps, opened }) => steps === 3 && opened.length === 4);

    await page.reload();
    await page.getByText('mini-sd15: ').waitFor(PATIENCE);
    await soon(async () => {
      assert.equal(await page.locator('#base option:checked').innerText(), 'mini-sd15');
      assert.equal(await page.inputValue('#steps'), '3');
    });
    await page.locator('#lora option:checked', { hasText: 'lora_a' }).waitFor({ state: 'attached' });
    await soon(async () => assert.equal(await page.inputValue('#strength'), '0.4'));
    const lost = page.locator('[data-kind=session]');
    await soon(async () =>
      assert.match(await lost.innerText(), /Open again yourself: kohya_lora_r4a1_fp16\.safetensors\./),
    );
    await page.click('#forget-files');
    await lost.waitFor({ state: 'detached' });

    await rm(folder, { recursive: true });
    await page.reload();
    await lost.getByText(/Open again yourself: mini-sd15, lora_a\.safetensors, lora_b\.safetensors\./).waitFor();
    assert.deepEqual(errors, []);
  });
});

it('scripts come from this page only, and nothing becomes markup', async () => {
  const { page } = await site.open();
  const refused = (code) =>
    page.evaluate((code) => {
      try {
        return (
          {
            worker: () => new Worker('data:text/javascript,'),
            markup: () => (document.body.innerHTML = '<b>x</b>'),
            text: () => (document.body.dataset.x = '1'),
          }[code](),
          ''
        );
      } catch (thrown) {
        return thrown.name;
      }
    }, code);
  assert.equal(await refused('markup'), 'TypeError');
  assert.equal(await refused('worker'), 'TypeError');
  assert.equal(await refused('text'), '', 'what is harmless is not refused');
});
