/** The Run section: user models, several LoRAs, initial images, recipes from PNGs. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { drop, launch, soon } from './harness.mjs';
import {
  PATIENCE,
  deviation,
  difference,
  enter,
  finished,
  generate,
  openDemo,
  pixels,
  ready,
  reportOf,
} from './studio.mjs';

const TESTS = new URL('../', import.meta.url);
const MINI = fileURLToPath(new URL('golden/pipelines/mini-sd15', TESTS));
const LORAS = ['lora_a', 'lora_b'].map((name) => `golden/loras/mini-sd15/${name}.safetensors`);

let site;
/** A page with mini-sd15 as the base model and both of its LoRAs, which most tests share; a PNG of its first settings. */
let mini;
before(async () => {
  site = await launch();
  mini = await openMini();
});
after(() => site?.close());

/** Types a value into a field and leaves it. */
const type = (page, id, value) => enter(page, { [id]: value });

/** Unfolds a part of the form. */
const unfold = (page, selector) =>
  page
    .locator(selector)
    .first()
    .evaluate((part) => (part.open = true));

/** Drops bytes as files, on the page or on the element that matches a selector. */
async function dropBytes(page, files, selector = 'body') {
  const encoded = files.map(({ name, bytes }) => ({ name, base64: Buffer.from(bytes).toString('base64') }));
  await page.evaluate(
    ([files, selector]) => {
      const transfer = new DataTransfer();
      for (const { name, base64 } of files)
        transfer.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
      const event = { dataTransfer: transfer, bubbles: true, cancelable: true, composed: true };
      for (const type of ['dragenter', 'dragover', 'drop'])
        document.querySelector(selector).dispatchEvent(new DragEvent(type, event));
    },
    [encoded, selector],
  );
}

/** Opens a page with mini-sd15, both of its LoRAs and few steps, and generates a first image. */
async function openMini() {
  const { page, errors } = await site.open();
  await drop(page, LORAS);
  await reportOf(page, 'lora_b.safetensors');
  await ready(page);
  await page.getByText('Use your own checkpoint').click();
  await page.setInputFiles('#pick-folder', MINI);
  await page.getByText('mini-sd15: ').waitFor(PATIENCE);
  await page.selectOption('#lora', '');
  await enter(page, { prompt: 'a cat on a mat', steps: 2, guidance: 1 });
  await generate(page);
  return { page, errors, png: await saved(page, 'without') };
}

/** The shared page with its first settings. */
async function restarted() {
  const { page, errors, png } = mini;
  for (const id of ['remove-mask', 'remove-start']) {
    if (await page.locator(`#${id}`).count()) await page.click(`#${id}`);
  }
  await dropBytes(page, [{ name: 'first.png', bytes: png }]);
  await remark(page, 'restored').getByText('first.png').waitFor();
  return { page, errors };
}

async function saved(page, which) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(`#download-${which}`)]);
  return readFile(await download.path());
}

/** Returns a PNG with a text chunk after its header. */
function withText(png, keyword, text) {
  const body = Buffer.from(`tEXt${keyword}\0${text}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return Buffer.concat([png.subarray(0, 33), chunk, png.subarray(33)]);
}

/** Returns a PNG of two colors, without text chunks. */
async function plainPng(page) {
  const bytes = await page.evaluate(async () => {
    const canvas = new OffscreenCanvas(96, 64);
    const context = canvas.getContext('2d');
    context.fillStyle = '#2040c0';
    context.fillRect(0, 0, 96, 64);
    context.fillStyle = '#f0d020';
    context.fillRect(32, 16, 32, 32);
    return [...new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer())];
  });
  return Buffer.from(bytes);
}

/** Returns a PNG of one color. */
async function evenPng(page, colour) {
  const bytes = await page.evaluate(async (colour) => {
    const canvas = new OffscreenCanvas(16, 16);
    const context = canvas.getContext('2d');
    context.fillStyle = colour;
    context.fillRect(0, 0, 16, 16);
    return [...new Uint8Array(await (await canvas.convertToBlob({ type: 'image/png' })).arrayBuffer())];
  }, colour);
  return Buffer.from(bytes);
}

const remark = (page, kind) => page.locator(`#run [data-testid=message][data-kind=${kind}]`);

describe('a model of one’s own', () => {
  it('draws from a folder with a stack of LoRAs, and again from its PNG', async () => {
    const { page, errors } = await restarted();
    assert.equal(await page.inputValue('#width'), '64');
    await page.getByText(/\d+\/75 tokens/).waitFor();

    await page.selectOption('#lora', { label: 'lora_a' });
    const alone = await generate(page);
    await page.click('#add-lora');
    await soon(async () => assert.equal(await page.locator('#lora-2 option:checked').innerText(), 'lora_b'));
    await type(page, 'strength-2', 0.4);
    const both = await generate(page);
    assert.deepEqual(both.without, alone.without);
    assert.ok(difference(both.with, alone.with) > 0.5, 'the second LoRA acts');
    const caption = await page.getByTestId('caption').innerText();
    assert.match(caption, /lora_a\.safetensors: \d+ layers applied/);
    assert.match(caption, /lora_b\.safetensors: \d+ layers applied/);
    const png = await saved(page, 'with');

    await page.uncheck('#on-2');
    assert.deepEqual((await generate(page)).with, alone.with);

    await page.click('#remove-2');
    await type(page, 'prompt', 'something else');
    await type(page, 'seed', 77);
    await type(page, 'width', 90);
    await soon(async () => assert.equal(await page.inputValue('#width'), '88', 'rounded to a multiple of 8'));
    await dropBytes(page, [{ name: 'mine.png', bytes: png }]);
    await remark(page, 'restored').getByText('mine.png').waitFor();
    await soon(async () =>
      assert.match(await remark(page, 'restored').innerText(), /Settings loaded from mine\.png\s+All settings/),
    );
    assert.equal(await page.inputValue('#prompt'), 'a cat on a mat');
    assert.equal(await page.inputValue('#width'), '64');
    assert.equal(await page.inputValue('#strength-2'), '0.4');
    const again = await generate(page);
    assert.deepEqual(again.with, both.with);
    assert.deepEqual(again.without, both.without);

    // Infotexts also identify LoRAs by hash, which matches files of any name.
    const [, hash] = /Lora hashes: "lora_a: [0-9a-f]{12}, lora_b: ([0-9a-f]{12})"/.exec(png.toString('latin1')) ?? [];
    assert.ok(hash, 'the PNG has both hashes');
    const parameters = [
      'a cat <lora:renamed:0.5:lbw=MID=0>',
      `Steps: 6, Sampler: Euler a, CFG scale: 4, Seed: 42, Size: 64x64, Denoising strength: 0.7, RNG: CPU, Hires upscale: 1.5, Hires steps: 3, Hires upscaler: Latent, Lora hashes: "renamed: ${hash}", Version: v1.9.4`,
    ].join('\n');
    await dropBytes(page, [{ name: 'theirs.png', bytes: withText(await plainPng(page), 'parameters', parameters) }]);
    await remark(page, 'restored').getByText('theirs.png').waitFor();
    await soon(async () => {
      assert.match(await remark(page, 'restored').innerText(), /All settings restored/);
      assert.equal(await page.locator('#lora option:checked').innerText(), 'lora_b');
    });
    const fields = {
      strength: '0.5',
      blocks: 'MID=0',
      hires: 'latent',
      hiresScale: '1.5',
      hiresDenoise: '0.7',
      hiresSteps: '3',
    };
    for (const [id, value] of Object.entries(fields)) assert.equal(await page.inputValue(`#${id}`), value, id);
    assert.deepEqual(errors, []);
  });

  it('takes noise, schedule and program from the advanced part', async () => {
    const { page } = await restarted();
    await page.selectOption('#lora', '');
    const usual = await generate(page);
    await unfold(page, '#advanced');
    for (const [field, value] of [
      ['rng', 'philox'],
      ['schedule', 'karras'],
      ['spacing', 'trailing'],
      ['program', 'a1111'],
    ]) {
      await page.selectOption(`#${field}`, value);
    }
    await type(page, 'clipSkip', 2);
    await type(page, 'prompt', 'a (cat:1.3) on a mat <lora:lora_b:0.8>');
    const other = await generate(page);
    assert.ok(difference(usual.without, other.without) > 1);
    assert.ok(difference(other.with, other.without) > 0.5, 'a LoRA that only the prompt names acts');
    assert.match(await page.getByTestId('caption').innerText(), /lora_b\.safetensors: \d+ layers applied/);
    const text = (await saved(page, 'without')).toString('latin1');
    for (const said of [
      /Schedule type: Karras/,
      /RNG: NV/,
      /Clip skip: 2/,
      /"spacing":"trailing"/,
      /"program":"a1111"/,
    ])
      assert.match(text, said);
  });

  it('draws anew only what a mask leaves white, in blocks of its own strength, and once more larger', async () => {
    const { page, errors } = await restarted();
    await unfold(page, '#advanced');
    await page.uncheck('#preview');
    await page.setInputFiles('#pick-start', { name: 'start.png', mimeType: 'image/png', buffer: await plainPng(page) });
    await page.setInputFiles('#pick-mask', {
      name: 'black.png',
      mimeType: 'image/png',
      buffer: await evenPng(page, '#000'),
    });
    await page.getByTestId('mask').getByText('black.png').waitFor();
    const black = await generate(page);
    await type(page, 'prompt', 'something else');
    const still = await generate(page);
    assert.deepEqual(still, black, 'nothing is drawn anew where the mask is black');
    await page.click('#remove-mask');
    await page.setInputFiles('#pick-mask', {
      name: 'white.png',
      mimeType: 'image/png',
      buffer: await evenPng(page, '#fff'),
    });
    const white = await generate(page);
    assert.ok(difference(white.without, black.without) > 1, 'all is where it is white');
    assert.match((await saved(page, 'without')).toString('latin1'), /"masked":true/);

    await page.click('#remove-start');
    await page.selectOption('#lora', { label: 'lora_b' });
    const whole = await generate(page);
    await unfold(page, '.row-tools details');
    await type(page, 'blocks', 'ALL=0');
    await page.locator('#negative').dispatchEvent('input'); // an unrelated update of the page
    assert.equal(await page.inputValue('#blocks'), 'ALL=0', 'what is being typed stays');
    await page.press('#blocks', 'Tab');
    const none = await generate(page);
    assert.deepEqual(none.with, whole.without, 'no block, no change');
    await page.selectOption('#lora', '');
    await page.selectOption('#hires', 'latent');
    await type(page, 'hiresScale', 1.5);
    const large = await generate(page);
    assert.equal(large.without.length, 96 * 96 * 4);
    assert.match((await saved(page, 'without')).toString('latin1'), /Hires upscale: 1.5/);
    assert.deepEqual(errors, []);
  });

  it('reads the words of a textual inversion, and shows the image while it forms', async () => {
    const { page, errors } = await restarted();
    await page.check('#preview');
    await type(page, 'prompt', 'inkstyle cat');
    const plain = await generate(page);
    const header = JSON.stringify({ emb_params: { dtype: 'F32', shape: [2, 48], data_offsets: [0, 384] } });
    const file = Buffer.alloc(8 + header.length + 384);
    file.writeBigUInt64LE(BigInt(header.length));
    file.write(header, 8);
    for (let i = 0; i < 96; i++) file.writeFloatLE(Math.sin(i) / 4, 8 + header.length + 4 * i);
    await dropBytes(page, [{ name: 'inkstyle.safetensors', bytes: file }]);
    await reportOf(page, 'inkstyle.safetensors');
    await page.evaluate(() => {
      globalThis.formed = [];
      const watch = () => {
        const canvas = document.querySelector('[data-testid=preview] canvas');
        if (canvas) globalThis.formed.push([canvas.width, canvas.height]);
      };
      new MutationObserver(watch).observe(document.body, { subtree: true, childList: true, attributes: true });
    });
    const called = await generate(page);
    assert.ok(difference(plain.without, called.without) > 0.2, 'the word has a meaning now');
    assert.match((await saved(page, 'without')).toString('latin1'), /"embeddings":\[\{"name":"inkstyle/);
    const formed = await page.evaluate(() => globalThis.formed);
    assert.ok(
      formed.length > 0 && formed.every(([width, height]) => width === 8 && height === 8),
      JSON.stringify(formed),
    );
    assert.deepEqual(errors, []);
  });

  it('says what is wrong with a damaged checkpoint, and keeps the demo', async () => {
    const { page, errors } = await site.open();
    await drop(page, ['hostile/full_checkpoint.safetensors']);
    await reportOf(page, 'full_checkpoint.safetensors');
    await page.getByRole('button', { name: 'Use as base model' }).click();
    const alert = page
      .locator('#run [role=alert]')
      .filter({ hasText: 'full_checkpoint.safetensors cannot be used as a base model' });
    await alert.waitFor(PATIENCE);
    assert.ok((await alert.innerText()).length > 80, await alert.innerText());
    assert.equal(await page.inputValue('#base'), 'demo');

    // The last working model is restored.
    await page.getByText('Use your own checkpoint').click();
    await page.setInputFiles('#pick-folder', MINI);
    await page.getByText('mini-sd15: ').waitFor(PATIENCE);
    await page.setInputFiles('#pick-checkpoint', fileURLToPath(new URL('hostile/truncated_data.safetensors', TESTS)));
    const other = page
      .locator('#run [role=alert]')
      .filter({ hasText: 'truncated_data.safetensors cannot be used as a base model' });
    await other.waitFor(PATIENCE);
    await soon(async () => assert.equal(await page.locator('#base option:checked').innerText(), 'mini-sd15'));
    await page.locator('#run [role=alert]').getByLabel('Dismiss').click();
    await page.selectOption('#lora', '');
    await type(page, 'steps', 2);
    assert.ok(deviation((await generate(page)).without) > 1);

    // Back to the demo: its LoRA, and its defaults except for fields that were edited.
    await page.selectOption('#base', 'demo');
    assert.equal(await page.inputValue('#lora'), 'demo:duotone.safetensors');
    assert.equal(await page.inputValue('#guidance'), '2');
    assert.equal(await page.inputValue('#steps'), '2');
    assert.deepEqual(errors, []);
  });
});

describe('images', () => {
  it('starts from an image, near to it or far', async () => {
    const { page, errors } = await openDemo(site);
    await page.selectOption('#lora', '');
    await type(page, 'steps', 2);
    const { without: fresh } = await generate(page);
    await dropBytes(page, [{ name: 'flag.png', bytes: await plainPng(page) }]);
    await remark(page, 'image').waitFor();
    await page.click('#start-from');
    assert.match(await page.getByTestId('start').innerText(), /flag\.png/);
    await type(page, 'steps', 4);
    await type(page, 'denoise', 0.25);
    const { without: near } = await generate(page);
    assert.ok(difference(near, fresh) > 2, 'the image counts');
    // Blue corner, yellow center, as in the image.
    const at = (x, y) => near.slice((y * 64 + x) * 4, (y * 64 + x) * 4 + 3);
    assert.ok(at(4, 4)[2] > at(4, 4)[0] + 40, `corner ${at(4, 4)}`);
    assert.ok(at(32, 32)[0] > at(32, 32)[2] + 40, `middle ${at(32, 32)}`);

    await page.click('#remove-start');
    await dropBytes(page, [{ name: 'flag.png', bytes: await plainPng(page) }], '.slot');
    assert.match(await page.getByTestId('start').innerText(), /flag\.png/);
    await page.click('#remove-start');
    await type(page, 'steps', 2);
    assert.deepEqual((await generate(page)).without, fresh);
    assert.deepEqual(errors, []);
  });

  it('takes the web UIs’ parameters and says what is missing', async () => {
    const { page } = await openDemo(site);
    const parameters = [
      'red apple <lora:ink_icon:0.7> <lora:nowhere:1>',
      'Negative prompt: blurry',
      'Steps: 6, Sampler: Euler a, CFG scale: 4, Seed: 42, Size: 512x512, Model: elsewhere, Hires upscaler: Latent, Version: v1.9.4',
    ].join('\n');
    await dropBytes(page, [{ name: 'theirs.png', bytes: withText(await plainPng(page), 'parameters', parameters) }]);
    await remark(page, 'restored').waitFor();
    const fields = {
      prompt: 'red apple',
      negative: 'blurry',
      steps: '6',
      sampler: 'euler_a',
      guidance: '4',
      seed: '42',
      lora: 'demo:ink_icon.safetensors',
      strength: '0.7',
    };
    await soon(async () => {
      for (const [id, value] of Object.entries(fields)) assert.equal(await page.inputValue(`#${id}`), value, id);
      assert.equal(await page.locator('#lora-2').count(), 0);
    });
    const said = await remark(page, 'restored').innerText();
    for (const missing of [/nowhere/, /elsewhere/, /Hires upscaler/, /512 × 512/]) assert.match(said, missing);
  });

  it('draws again while a strength moves', async () => {
    const { page, errors } = await restarted();
    await page.selectOption('#lora', { label: 'lora_a' });
    await type(page, 'steps', 9);
    const first = await generate(page);
    await page.check('#live');
    await type(page, 'strength', -0.5);
    await page.getByText('Quick preview with 8 steps').waitFor(PATIENCE);
    await finished(page);
    const moved = await pixels(page, 'with');
    assert.ok(difference(moved, first.with) > 0.5);
    assert.deepEqual(await pixels(page, 'without'), first.without);

    // A change during generation: the last one is displayed in the end.
    await page.fill('#strength', '0.2');
    const drawn = page.locator('figcaption', { hasText: 'lora_a × 0.20' });
    await page.locator('[data-testid=run][data-status=running]').or(drawn).first().waitFor(PATIENCE);
    await page.fill('#strength', '0.9');
    await page.locator('figcaption', { hasText: 'lora_a × 0.90' }).waitFor(PATIENCE);
    await finished(page);
    const last = await pixels(page, 'with');
    assert.ok(deviation(last) > 1 && difference(last, moved) > 0.5);
    assert.deepEqual(errors, []);
  });
});
