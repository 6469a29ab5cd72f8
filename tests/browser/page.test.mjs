/** The built page end to end: dropped files, reports, images with and without a LoRA. */
import assert from 'node:assert/strict';
import { readFile, stat } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { BLANK, SUB_PATH, drop, engineOf, launch, soon } from './harness.mjs';
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

const KOHYA = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const DEMO = new URL('../../web/public/demo/', import.meta.url);
/** Enough steps to distinguish images, few enough for a software rasterizer. */
const STEPS = 2;

let site;
before(async () => (site = await launch()));
after(() => site?.close());

async function fitsWidth(page, what) {
  const [wanted, given] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(wanted <= given, `${what}: ${wanted} px wide in a window of ${given}`);
}

/**
 * A person with a keyboard: `tabUntil` presses Tab until `arrived` returns true, `tabTo` until an element of an id has
 * the focus. Every focused element on the way must have a visible focus indicator and a name for screen readers.
 */
function keyboardOf(page) {
  const focused = () => page.evaluate(() => document.activeElement?.id || document.activeElement?.className);
  const tabUntil = async (what, arrived) => {
    for (let stop = 0; stop < 160; stop++) {
      await page.keyboard.press('Tab');
      const { isSeen, name } = await page.evaluate(() => {
        const element = document.activeElement;
        if (!element || element === document.body) return { isSeen: true, name: 'the page' };
        const label = element.getAttribute('aria-labelledby')?.split(' ') ?? [];
        const texts = [
          element.ariaLabel,
          ...label.map((id) => document.getElementById(id)?.textContent),
          ...[...(element.labels ?? [])].map(({ textContent }) => textContent),
          element.textContent,
        ];
        const holder = element.closest('.button') ?? element;
        return { isSeen: getComputedStyle(holder).outlineStyle !== 'none', name: texts.join('').trim() };
      });
      assert.ok(isSeen, `no visible focus on ${await focused()}`);
      assert.ok(name, `no name of ${await focused()}`);
      if (await arrived()) return;
    }
    assert.fail(`${what} is not reached by Tab`);
  };
  return { tabUntil, tabTo: (id) => tabUntil(id, async () => (await focused()) === id) };
}

describe('look', () => {
  it('reads a dropped kohya LoRA from verdict to metadata', async () => {
    const { page, errors } = await site.open();
    await drop(page, [KOHYA]);
    const report = await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');

    const verdict = await page.getByTestId('verdict').innerText();
    assert.match(verdict, /kohya/i);
    assert.match(verdict, /Stable Diffusion 1/);
    assert.match(verdict, /Rank\s+4\b/i);
    assert.match(verdict, /Alpha\s+1\b/i);
    assert.match(verdict, /Layers\s+264\b/i);
    assert.match(verdict, /No problems found/);

    const blocks = page.locator('[data-testid=coverage] [role=option]');
    const told = await blocks.evaluateAll((cells) => cells.map((cell) => cell.getAttribute('aria-label')));
    assert.ok(told.length >= 12 + 25, `${told.length} blocks`);
    assert.ok(
      told.some((line) => /norm [\d.]+$/.test(line)),
      told.join('\n'),
    );
    assert.ok(
      told.some((line) => /unchanged/.test(line)),
      told.join('\n'),
    );

    await page.click('#metadata summary');
    const metadata = await page.getByTestId('metadata').innerText();
    assert.match(metadata, /Trained on\s+mini-sd15\.safetensors/);
    assert.match(await page.getByTestId('training').innerText(), /Trigger words\s+mini cat/);
    assert.match(metadata, /héllo 世界 "quoted" \\ back/);
    assert.equal(await report.getAttribute('data-status'), 'read');
    assert.deepEqual(errors, []);
  });

  it('sorts, filters and unfolds the table of modules', async () => {
    const { page } = await site.open();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.click('#modules summary');
    const rows = page.locator('[data-testid=modules] tbody tr');
    await soon(async () => assert.equal(await rows.count(), 100));
    await page.click('#show-all');
    await soon(async () => assert.equal(await rows.count(), 264));

    await page.getByRole('button', { name: 'Norm' }).click();
    const strengths = await rows.evaluateAll((all) => all.map((row) => parseFloat(row.children[5].textContent)));
    assert.ok(
      strengths.every((value) => value > 0),
      strengths.join(' '),
    );
    assert.deepEqual(
      strengths,
      strengths.toSorted((a, b) => b - a),
    );

    await page.fill('#module-filter', 'attn2.to_k');
    const names = await rows.evaluateAll((all) => all.map((row) => row.children[0].textContent.trim()));
    assert.equal(names.length, 16);
    assert.ok(
      names.every((name) => name.endsWith('attn2.to_k')),
      names.join('\n'),
    );
  });

  it('lists several dropped files, the newest in front', async () => {
    const { page } = await site.open();
    await drop(page, [KOHYA, 'corpus/files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors']);
    await reportOf(page, 'diffusers_lora_AB_metadata_r6a3_fp32.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /Rank\s+6\b/i);
    await page.locator('button.tab', { hasText: 'kohya_lora_r4a1_fp16.safetensors' }).click();
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /Rank\s+4\b/i);
  });

  it('reads an adapter_config.json together with the file that it belongs to', async () => {
    const { page } = await site.open();
    const folder = 'corpus/files/peft_plain_text_encoder';
    await drop(page, [`${folder}/adapter_model.safetensors`, `${folder}/adapter_config.json`]);
    await reportOf(page, 'adapter_model.safetensors');
    assert.equal(await page.locator('nav .tab').count(), 1);
    const { lora_alpha: alpha } = JSON.parse(
      await readFile(new URL(`../${folder}/adapter_config.json`, import.meta.url), 'utf8'),
    );
    assert.match(await page.getByTestId('verdict').innerText(), new RegExp(`Alpha\\s+${alpha}\\b`, 'i'));
  });

  it('computes on the processor without WebGPU, and says how to use the graphics card', async () => {
    const { page, errors } = await site.open(BLANK);
    await page.addInitScript(() => Object.defineProperty(Navigator.prototype, 'gpu', { get: () => undefined }));
    await page.goto(site.url);
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /kohya/i);
    assert.match(await page.getByTestId('no-webgpu').textContent(), /chrome:\/\/flags/);
    await soon(async () => assert.equal(await page.getByTestId('device').getAttribute('data-device'), 'cpu'));
    assert.deepEqual(errors, []);
  });

  it('goes on with a fresh worker when the engine breaks', async () => {
    const { page } = await site.open();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await (
      await engineOf(page)
    ).evaluate(
      () =>
        void setTimeout(() => {
          throw new Error('the engine of this test broke');
        }),
    );
    await page.getByText('the engine of this test broke').waitFor();
    await drop(page, ['corpus/files/kohya_te_only_r4a2_fp16.safetensors']);
    await reportOf(page, 'kohya_te_only_r4a2_fp16.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /kohya/i);
  });
});

describe('run', () => {
  /** One after another, the tests share a page. */
  let page;
  let errors;
  before(async () => ({ page, errors } = await openDemo(site, { steps: STEPS, guidance: 2 })));

  it('draws without and with the LoRA, repeatably, and not at all differently at strength 0', async () => {
    const first = await generate(page);
    assert.ok(deviation(first.without) > 10, `without: deviation ${deviation(first.without)}`);
    assert.ok(deviation(first.with) > 10, `with: deviation ${deviation(first.with)}`);
    assert.ok(difference(first.without, first.with) > 2, `difference ${difference(first.without, first.with)}`);
    assert.match(await page.getByTestId('caption').innerText(), /duotone\.safetensors: 84 layers applied/);

    await page.fill('#strength', '0');
    const idle = await generate(page);
    assert.deepEqual(idle.with, idle.without);

    await enter(page, { seed: 2 });
    await page.selectOption('#lora', '');
    const other = await generate(page);
    assert.ok(difference(first.without, other.without) > 1, 'another seed, another image');

    await enter(page, { seed: 0 });
    await page.selectOption('#lora', 'demo:duotone.safetensors');
    await page.fill('#strength', '1');
    const again = await generate(page);
    assert.deepEqual(again.without, first.without);
    assert.deepEqual(again.with, first.with);
    assert.deepEqual(errors, []);
  });

  it('saves each image as a PNG', async () => {
    for (const [which, name] of [
      ['without', /^red_apple_seed_0_no_LoRA\.png$/],
      ['with', /^red_apple_seed_0_Duotone_1\.png$/],
    ]) {
      const [download] = await Promise.all([page.waitForEvent('download'), page.click(`#download-${which}`)]);
      assert.match(download.suggestedFilename(), name);
      const bytes = await readFile(await download.path());
      assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
      assert.deepEqual([bytes.readUInt32BE(16), bytes.readUInt32BE(20)], [64, 64]);
    }
  });

  it('cancels between two steps on the GPU and can draw again', async () => {
    const before = await pixels(page, 'without');
    await page.selectOption('#device', 'gpu');
    await page.waitForSelector('[data-testid=device][data-device=gpu]');
    await ready(page);
    await enter(page, { steps: 100 });
    await page.click('#generate');
    await page.waitForFunction(
      () => /step [1-9]/i.test(document.querySelector('#progress-what')?.textContent ?? ''),
      null,
      PATIENCE,
    );
    await page.click('#cancel');
    await finished(page);
    await soon(async () => assert.equal(await page.getByTestId('announcement').textContent(), 'Cancelled'));
    assert.deepEqual(await pixels(page, 'without'), before);
    assert.equal(await page.locator('#run [role=alert]').count(), 0);

    await page.selectOption('#device', 'auto');
    await page.waitForSelector('[data-testid=device][data-device=cpu]');
    await ready(page);
    await enter(page, { steps: 1 });
    const { without } = await generate(page);
    assert.ok(deviation(without) > 10);
    assert.deepEqual(errors, []);
  });

  it('reads another file while it draws', async () => {
    await enter(page, { seed: 3 });
    await page.click('#generate');
    await page.waitForSelector('[data-testid=run][data-status=running]');
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /Layers\s+264\b/i);
    await finished(page);
    assert.ok(deviation(await pixels(page, 'with')) > 10);
  });

  it('says why a LoRA of another size cannot draw, and keeps the images', async () => {
    await page.locator('#run [data-kind=unfit]').waitFor();
    await page.selectOption('#lora', { label: 'kohya_lora_r4a1_fp16' });
    await page.click('#generate');
    const alert = page.locator('#run [role=alert]');
    await alert.waitFor(PATIENCE);
    assert.ok((await alert.innerText()).length > 40, await alert.innerText());
    assert.ok(deviation(await pixels(page, 'without')) > 10);
  });
});

describe('everywhere', () => {
  it('asks no other origin for anything, and could not', async () => {
    const { page } = await site.open(BLANK);
    const asked = [];
    page.context().on('request', (request) => asked.push(request.url()));
    await page.goto(site.url);
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);
    await page.waitForFunction(
      () => document.querySelector('#run .act')?.textContent.includes('parameters'),
      null,
      PATIENCE,
    );
    const { origin } = new URL(site.url);
    assert.ok(
      asked.some((url) => url.endsWith('demo.json')),
      asked.join('\n'),
    );
    assert.deepEqual(
      asked.filter((url) => !url.startsWith(origin) && !url.startsWith(`blob:${origin}`)),
      [],
    );

    const elsewhere = site.url.replace('127.0.0.1', 'localhost');
    const reach = (url) =>
      fetch(url, { mode: 'no-cors' }).then(
        () => 'reached',
        () => 'blocked',
      );
    const engine = await engineOf(page);
    assert.equal(await page.evaluate(reach, elsewhere), 'blocked');
    assert.equal(await engine.evaluate(reach, elsewhere), 'blocked');
    assert.equal(await engine.evaluate(reach, site.url), 'reached');
    // The other origin is reachable from a page without the content security policy.
    const { page: free } = await site.open(BLANK);
    assert.equal(await free.evaluate(reach, elsewhere), 'reached');
  });

  it('fits a narrow window, in the language with the longest words', async () => {
    const { page } = await site.open(BLANK, { locale: 'de' });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.goto(site.url);
    await page.waitForSelector('#try-demo');
    await fitsWidth(page, 'first visit');
    await drop(page, [KOHYA, 'corpus/files/lycoris_locon_tucker_r3a2_fp16.safetensors']);
    await reportOf(page, 'lycoris_locon_tucker_r3a2_fp16.safetensors');
    await page.click('#modules summary');
    await page.click('#metadata summary');
    await fitsWidth(page, 'report');
    await ready(page);
    await enter(page, { steps: 1, guidance: 1 });
    await generate(page);
    await fitsWidth(page, 'images');
    await page.click('#compare-slider');
    await fitsWidth(page, 'slider');
    await page.$$eval('#run details', (all) => all.forEach((details) => (details.open = true)));
    await page.locator('#fill').waitFor();
    const beyond = await page.$$eval('.recipe, .recipe *', (all) => {
      const [form] = all.map((element) => element.getBoundingClientRect().right);
      return all
        .filter((element) => element.getBoundingClientRect().right > form + 1)
        .map(({ id, tagName }) => id || tagName);
    });
    assert.deepEqual(beyond, []);
  });

  it('can be used by keyboard alone', async () => {
    const { page } = await site.open();
    await page.waitForSelector('#try-demo');
    const { tabUntil, tabTo } = keyboardOf(page);
    await tabTo('skip');
    await tabTo('file-picker');
    await tabTo('try-demo');
    await page.keyboard.press('Enter');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);

    await tabUntil('the map', () => page.evaluate(() => document.activeElement?.getAttribute('role') === 'listbox'));
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    await soon(async () => assert.match(await page.getByTestId('block-detail').innerText(), /layers/));
    await page.keyboard.press('Enter');
    await soon(async () => assert.equal(await page.locator('[role=option][aria-selected=true]').count(), 1));
    assert.ok(await page.locator('#modules').evaluate((details) => details.open));

    for (const id of ['prompt', 'negative', 'lora', 'strength', 'seed', 'roll']) await tabTo(id);
    await tabTo('steps');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('1');
    for (const id of ['guidance', 'sampler', 'generate']) await tabTo(id);
    await page.keyboard.press('Enter');
    await page.waitForSelector('[data-testid=run][data-status=running]');
    await finished(page);
    assert.ok(deviation(await pixels(page, 'with')) > 10);
    await tabTo('compare-slider');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab'); // difference
    await page.keyboard.press('Tab'); // smooth
    await page.keyboard.press('Tab'); // the divider
    await page.keyboard.press('Home');
    assert.equal(await page.getByTestId('slider').evaluate((slider) => slider.position), 0);
  });

  it('fixes a file, saves it, generates and saves the image by keyboard alone', async () => {
    const { page, errors } = await site.open(`${SUB_PATH}#v1&look=broken_names.safetensors`);
    await reportOf(page, 'broken_names.safetensors');
    await ready(page);
    const { tabUntil, tabTo } = keyboardOf(page);
    const saves = async () => {
      const [download] = await Promise.all([page.waitForEvent('download'), page.keyboard.press('Enter')]);
      return download.suggestedFilename();
    };
    await tabUntil('a fix', () => page.evaluate(() => document.activeElement?.classList.contains('fix')));
    await page.keyboard.press('Enter');
    await page.waitForSelector('#change-make[aria-disabled=false]');
    await tabTo('change-make');
    await page.keyboard.press('Enter');
    await page.getByTestId('made').waitFor();
    await tabTo('change-save');
    assert.match(await saves(), /^broken_names.*\.safetensors$/);

    await tabTo('steps');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('1');
    await tabTo('generate');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[data-testid=run][data-status=running]');
    await finished(page);
    await tabTo('download-with');
    assert.match(await saves(), /\.png$/);
    assert.deepEqual(errors, []);
  });

  it('lists the demo as it lies on disk', async () => {
    const { files, loras, prompts, defaults, text_width, channels } = JSON.parse(
      await readFile(new URL('demo.json', DEMO), 'utf8'),
    );
    for (const { path, size } of files) assert.equal((await stat(new URL(`model/${path}`, DEMO))).size, size, path);
    for (const { file, size } of loras) assert.equal((await stat(new URL(`loras/${file}`, DEMO))).size, size, file);
    const unet = JSON.parse(await readFile(new URL('model/unet/config.json', DEMO), 'utf8'));
    assert.equal(text_width, unet.cross_attention_dim);
    assert.equal(channels, unet.block_out_channels[0]);
    for (const [name, lora] of [
      ['without', false],
      ['with', true],
    ]) {
      const png = await readFile(new URL(`../../web/public/samples/${name}.png`, import.meta.url), 'latin1');
      const { steps, guidance, seed } = defaults;
      for (const said of [prompts[0], `Steps: ${steps}, `, `CFG scale: ${guidance}, `, `Seed: ${seed}, `])
        assert.ok(png.includes(said), `${name}: ${said}`);
      assert.equal(png.includes(`<lora:${loras[0].file.split('.')[0]}:1>`), lora);
    }
  });
});
