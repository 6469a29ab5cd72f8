/** Edits of dropped files through the page: the saved files are read back. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { drop, launch, until } from './harness.mjs';
import { reportOf } from './studio.mjs';

const KOHYA = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const PEFT = 'corpus/files/peft_plain_patterns_rslora';
const UNMATCHED = 'corpus/files/kohya_with_unmatched_keys_fp16.safetensors';
const LOHA = 'corpus/files/lycoris_loha_tucker_r3a2_fp32.safetensors';
const UNET = 'golden/pipelines/mini-sd15/unet/diffusion_pytorch_model.safetensors';
const LORA = 'golden/loras/mini-sd15/lora_a.safetensors';
const PICKLE = 'corpus/files/old_diffusers_attn_procs_legacy_pickle.bin';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

async function openReport(...paths) {
  const { page, errors } = await site.open();
  await drop(page, paths);
  await reportOf(page, paths.at(-1).split('/').at(-1));
  return { page, errors };
}

/** A UNet with the layers that the corpus changes: safetensors with small numbers, none of them special. */
async function unet() {
  const shapes = JSON.parse(await readFile(new URL('../corpus/base/shapes.json', import.meta.url)));
  const tensors = Object.entries(shapes).filter(([name]) => name.startsWith('unet.'));
  let end = 0;
  const header = tensors.map(([name, shape]) => {
    const start = end;
    end += 4 * shape.reduce((product, size) => product * size, 1);
    return [name.slice('unet.'.length), { dtype: 'F32', shape, data_offsets: [start, end] }];
  });
  const text = Buffer.from(JSON.stringify(Object.fromEntries(header)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  const elements = Float32Array.from({ length: end / 4 }, (_, at) => ((at * 7919) % 83) / 64 - 0.64);
  return Buffer.concat([size, text, Buffer.from(elements.buffer)]);
}

/** Opens the corpus' base model and an adapter of the corpus, a file or a folder of PEFT's. */
async function withBase(name) {
  const { page, errors } = await site.open();
  await page.setInputFiles('#file-picker', { name: 'unet.safetensors', mimeType: '', buffer: await unet() });
  await reportOf(page, 'unet.safetensors');
  const files = name.startsWith('peft_')
    ? [`${name}/adapter_config.json`, `${name}/adapter_model.safetensors`]
    : [`${name}.safetensors`];
  await drop(
    page,
    files.map((file) => `corpus/files/${file}`),
  );
  await reportOf(page, files.at(-1).split('/').at(-1));
  return { page, errors };
}

/** Presses the button, waits for the file and saves it; returns its name, header and bytes. */
async function make(page) {
  await page.click('#change-make');
  await page.waitForSelector('[data-testid=change][data-status=made], [data-testid=change][data-status=failed]');
  assert.equal(
    await page.getByTestId('change').getAttribute('data-status'),
    'made',
    await page.getByTestId('change').innerText(),
  );
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#change-save')]);
  const bytes = await readFile(await download.path());
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...tensors } = JSON.parse(bytes.subarray(8, end));
  for (const { data_offsets } of Object.values(tensors))
    assert.ok(end + data_offsets[1] <= bytes.length, 'the file is whole');
  return { name: download.suggestedFilename(), bytes, data: bytes.subarray(end), metadata, tensors };
}

async function headerOf(path) {
  const bytes = await readFile(new URL(`../${path}`, import.meta.url));
  const end = 8 + Number(bytes.readBigUInt64LE(0));
  const { __metadata__: metadata = {}, ...tensors } = JSON.parse(bytes.subarray(8, end));
  return { metadata, tensors, data: bytes.subarray(end) };
}

describe('a fix', () => {
  it('does not leave out a name that may mean something to another program; the panel does', async () => {
    const { page, errors } = await openReport(UNMATCHED);
    const problem = page.locator('[data-testid=problems] [data-kind=unmatched_keys]');
    await problem.waitFor();
    assert.equal(await problem.locator('.fix').count(), 0);
    await page.locator('#change [data-kind=convert]').click();
    await page.selectOption('#change-to', 'kohya');
    const preview = page.getByTestId('preview');
    await preview.waitFor();
    assert.match(await preview.innerText(), /tensors? dropped/);
    const { name, tensors } = await make(page);
    assert.equal(name, 'kohya_with_unmatched_keys_fp16.kohya.safetensors');
    const before = await headerOf(UNMATCHED);
    const gone = Object.keys(before.tensors).filter((key) => !(key in tensors));
    assert.ok(gone.length > 0 && gone.length < Object.keys(before.tensors).length, gone.join(' '));
    await page.click('#change-look');
    await reportOf(page, name);
    assert.match(await page.getByTestId('verdict').innerText(), /No problems found/);
    assert.deepEqual(errors, []);
  });

  it('for a program that does not take the file makes one that it takes', async () => {
    const { page } = await openReport(`${PEFT}/adapter_config.json`, `${PEFT}/adapter_model.safetensors`);
    const a1111 = page.locator('[data-loader=a1111]');
    assert.notEqual(await a1111.getAttribute('data-status'), 'applied');
    await a1111.locator('.fix').click();
    const { name, tensors } = await make(page);
    assert.equal(name, 'adapter_model.kohya.safetensors');
    assert.ok(
      Object.keys(tensors).every((key) => /^lora_(unet|te)/.test(key)),
      Object.keys(tensors)[0],
    );
    await page.click('#change-look');
    await reportOf(page, name);
    assert.equal(await a1111.getAttribute('data-status'), 'applied', await a1111.innerText());
  });

  it('for a pickle is a safetensors copy with the same layers', async () => {
    const { page } = await openReport(PICKLE);
    const layers = await page.locator('.tile').count();
    await page.locator('[data-testid=imports] .fix').click();
    const { name, tensors } = await make(page);
    assert.match(name, /\.safetensors$/);
    assert.ok(Object.keys(tensors).length >= layers);
    await page.click('#change-look');
    await reportOf(page, name);
    assert.equal(await page.locator('.tile').count(), layers);
    assert.equal(await page.getByTestId('imports').count(), 0);
  });
});

describe('a change', () => {
  it('of names goes there and back with the numbers untouched', async () => {
    const { page } = await openReport(KOHYA);
    await page.selectOption('#change-to', 'comfy');
    await page.getByTestId('preview').waitFor();
    assert.match(await page.getByTestId('preview').innerText(), /\d+ names as ComfyUI has them/);
    const there = await make(page);
    await page.click('#change-look');
    await reportOf(page, there.name);
    await page.selectOption('#change-to', 'kohya');
    const back = await make(page);
    const before = await headerOf(KOHYA);
    assert.deepEqual(Object.keys(back.tensors).sort(), Object.keys(before.tensors).sort());
    for (const [
      key,
      {
        data_offsets: [start, end],
      },
    ] of Object.entries(before.tensors)) {
      const [from, to] = back.tensors[key].data_offsets;
      assert.deepEqual(back.data.subarray(from, to), before.data.subarray(start, end), key);
    }
  });

  it('of the rank says what is kept, and the file is smaller', async () => {
    const { page } = await openReport(KOHYA);
    await page.click('[data-kind=resize]');
    await page.selectOption('#change-rule', 'fixed');
    await page.fill('#change-fixed', '2');
    await page.press('#change-fixed', 'Tab');
    await page.click('#change-plan');
    await page.waitForSelector('[data-testid=change][data-status=planned]');
    assert.match(await page.getByTestId('preview').innerText(), /[\d.]+% of the energy is kept; ranks 4 → 2/);
    const { name, bytes } = await make(page);
    assert.equal(name, 'kohya_lora_r4a1_fp16.rank2.safetensors');
    const before = await readFile(new URL(`../${KOHYA}`, import.meta.url));
    assert.ok(bytes.length < before.length);
    await page.click('#change-look');
    await reportOf(page, name);
    assert.match(await page.getByTestId('verdict').innerText(), /Rank\s+2\b/i);
  });

  it('of LoHa to LoRA is exact where it can be', async () => {
    const { page } = await openReport(LOHA);
    await page.check('#change-lora');
    await page.fill('#change-rank', '9');
    await page.press('#change-rank', 'Tab');
    const { name } = await make(page);
    await page.click('#change-look');
    await reportOf(page, name);
    assert.match(await page.getByTestId('verdict').innerText(), /Algorithm\s+LoRA/i);
  });

  it('of the blocks switches one off, and gives the weights as text', async () => {
    const { page } = await openReport(KOHYA);
    await page.click('#tune summary');
    const weights = page.locator('#tune').getByTestId('block-weights');
    assert.equal(await weights.innerText(), Array(17).fill('1').join(','));
    await page.locator('[data-block=IN01]').fill('0');
    await page.locator('[data-block=TE]').fill('0.5');
    assert.equal(await weights.innerText(), ['0.5', '0', ...Array(15).fill('1')].join(','));
    await page.click('#save-blocks');
    const { tensors } = await make(page);
    assert.ok(!Object.keys(tensors).some((key) => key.includes('down_blocks_0_attentions_0')), 'IN01 is gone');
    assert.ok(
      Object.keys(tensors).some((key) => key.includes('down_blocks_0_attentions_1')),
      'IN02 is there',
    );
  });

  it('of the metadata sets, removes and strips, and leaves the tensors as they are', async () => {
    const { page } = await openReport(KOHYA);
    await page.click('[data-kind=metadata]');
    await page.fill('#meta-trigger', 'small cat');
    await page.check('#meta-private');
    await page.getByTestId('preview').waitFor();
    assert.match(
      await page.getByTestId('preview').innerText(),
      /modelspec\.trigger_phrase\s+(missing|mini cat)\s+small cat/,
    );
    const { name, metadata, data } = await make(page);
    assert.match(name, /\.private\.safetensors$/);
    assert.equal(metadata['modelspec.trigger_phrase'], 'small cat');
    assert.equal(metadata.ss_tag_frequency, undefined);
    const before = await headerOf(KOHYA);
    assert.ok('ss_tag_frequency' in before.metadata);
    assert.deepEqual(data, before.data);
  });

  it('of two files makes one of them, exactly', async () => {
    const { page } = await site.open();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await drop(page, ['corpus/files/kohya_alpha_gt_rank_r3a16_fp32.safetensors']);
    await reportOf(page, 'kohya_alpha_gt_rank_r3a16_fp32.safetensors');
    await page.click('[data-kind=merge]');
    await page.selectOption('#merge-with', { label: 'kohya_lora_r4a1_fp16.safetensors' });
    const { name } = await make(page);
    assert.equal(name, 'kohya_alpha_gt_rank_r3a16_fp32.merged.safetensors');
    await page.click('#change-look');
    await reportOf(page, name);
    assert.match(await page.getByTestId('verdict').innerText(), /Rank\s+[\d, ]*7/i);
    await page.selectOption('#compare-with', { label: 'kohya_alpha_gt_rank_r3a16_fp32.safetensors' });
    await page.waitForSelector('[data-testid=compare][data-status=done]');
    assert.doesNotMatch(await page.getByTestId('relation').innerText(), /nothing in common/);
  });

  it('by another method states conflicts before it merges, and what the rank keeps after', async () => {
    const { page } = await site.open();
    for (const name of ['kohya_lora_r4a1_fp16.safetensors', 'kohya_alpha_gt_rank_r3a16_fp32.safetensors']) {
      await drop(page, [`corpus/files/${name}`]);
      await reportOf(page, name);
    }
    await page.click('[data-kind=merge]');
    await page.selectOption('#merge-with', { label: 'kohya_lora_r4a1_fp16.safetensors' });
    await page.selectOption('#merge-method', 'ties');
    await page.fill('#merge-density', '30');
    await page.click('#change-plan');
    await page.waitForSelector('[data-testid=change][data-status=planned]');
    assert.match(await page.getByTestId('preview').innerText(), /opposite signs/);
    const { name } = await make(page);
    assert.equal(name, 'kohya_alpha_gt_rank_r3a16_fp32.merged.ties.safetensors');
    assert.match(await page.getByTestId('made').innerText(), /% of the energy/);
    await page.selectOption('#merge-method', 'blocks');
    await page.selectOption('#donor-MID', '1');
    const blocks = await make(page);
    assert.equal(blocks.name, 'kohya_alpha_gt_rank_r3a16_fp32.merged.blocks.safetensors');
  });

  it('of a model bakes a LoRA into it, and takes it out again', async () => {
    const { page } = await site.open();
    const report = async (name, path) => {
      const bytes = await readFile(new URL(`../${path}`, import.meta.url));
      await page.setInputFiles('#file-picker', { name, mimeType: '', buffer: bytes });
      await reportOf(page, name);
    };
    await report('lora.safetensors', LORA);
    await report('unet.safetensors', UNET);
    await page.click('[data-kind=bake]');
    await page.selectOption('#merge-with', { label: 'lora.safetensors' });
    const baked = await make(page);
    assert.equal(baked.name, 'unet.baked.safetensors');
    const before = await headerOf(UNET);
    assert.deepEqual(baked.tensors, before.tensors);
    assert.notDeepEqual(baked.data, before.data);
    await page.click('#change-look');
    await reportOf(page, baked.name);
    await page.click('[data-kind=extract]');
    await page.selectOption('#extract-base', { label: 'unet.safetensors' });
    await page.fill('#change-fixed', '8');
    const { name } = await make(page);
    await page.click('#change-look');
    await reportOf(page, name);
    await page.selectOption('#compare-with', { label: 'lora.safetensors' });
    await page.waitForSelector('[data-testid=compare][data-status=done]');
    assert.match(await page.getByTestId('relation').innerText(), /they are the same adapter/);
  });

  for (const [name, algorithm, change] of [
    ['lycoris_diag_oft_rescaled', 'OFT', /5 layers of diagonal OFT become LoRA: .*at least [\d.]+% of their energy/],
    ['lycoris_glora_old', 'GLoRA', /4 layers of GLoRA, older layout become LoRA/],
    ['lycoris_loha_dora', 'DoRA', /layers of .*DoRA.* become LoRA/],
    ['lycoris_ia3_fp16', '(IA)³', /92 layers of \(IA\)³ become LoRA: 28 exactly[^]*72 tensors dropped/],
  ])
    it(`of ${algorithm} to LoRA takes the base model's weights, and says how near it comes`, async () => {
      const { page } = await withBase(name);
      await page.selectOption('#convert-base', { label: 'unet.safetensors' });
      await until('a rank', async () => (await page.locator('#change-rank').inputValue()) === '64');
      await page.fill('#change-rank', '8');
      await page.press('#change-rank', 'Tab');
      await page.click('#change-plan');
      await page.waitForSelector('[data-testid=change]:is([data-status=planned], [data-status=failed])');
      assert.match(await page.getByTestId('change').innerText(), change);
      const made = await make(page);
      assert.match(made.name, /\.lora\.safetensors$/);
      await page.click('#change-look');
      await reportOf(page, made.name);
      assert.match(await page.getByTestId('verdict').innerText(), /Algorithm\s+LoRA/i);
    });

  it('to LoRA that needs the base model asks for it', async () => {
    const { page } = await openReport('corpus/files/lycoris_glora_old.safetensors');
    const change = page.getByTestId('change');
    assert.match(await change.innerText(), /open the base model/i);
    assert.equal(await page.locator('#convert-base').count(), 0);
  });

  it('that cannot be done says why, in the language of the page', async () => {
    const { page } = await openReport('corpus/files/lycoris_boft_fp16.safetensors');
    await page.click('[data-kind=resize]');
    await page.click('#change-plan');
    await page.waitForSelector('[data-testid=change][data-status=failed]');
    const change = page.getByTestId('change');
    for (const [language, reason] of [
      ['en', /This edit is not possible\s+text_encoder\S+: BOFT depends on the base model's weights/],
      ['de', /Diese Bearbeitung ist nicht möglich\s+text_encoder\S+: BOFT hängt von den Gewichten des Basismodells ab/],
      ['zh', /无法进行此编辑\s+text_encoder\S+：BOFT 依赖基础模型的权重/],
    ]) {
      await page.selectOption('#language', language);
      await until(`the reason in ${language}`, () => change.innerText(), { passes: (text) => reason.test(text) });
    }
  });
});
