/**
 * Generates images and calls networks of full-size synthetic checkpoints in headless Chromium, compares the results with
 * native runs, and prints a table of times and memory. Not part of the tests: it takes some 20 GB of disk and memory, and
 * hours on a software rasterizer.
 *
 *     cargo xtask test engine
 *     CHROME_PATH=/usr/bin/chromium node tests/make/full_size.mjs                        # every case
 *     CHROME_PATH=/usr/bin/chromium node tests/make/full_size.mjs lora --size 64         # one, smaller
 *     node tests/make/full_size.mjs lora --only native                                   # or chromium
 *     node tests/make/full_size.mjs a1111 --size 64 --device cpu                         # without graphics card
 *     node tests/make/full_size.mjs sdxl-q8_0 --weights q8                               # with weights stored in less memory
 *     node tests/make/full_size.mjs sdxl-q8_0 --weights q8 --native cpu                  # natively on another device
 *     node tests/make/full_size.mjs table
 *
 * Files and results are kept in the system's folder for temporary files. Cases with a stored result are skipped, so an
 * interrupted run can be resumed.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { BLANK, launch } from '../browser/harness.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(tmpdir(), 'lora-loupe-full-size');
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '512' },
    only: { type: 'string' },
    device: { type: 'string', default: 'gpu' },
    native: { type: 'string' },
    weights: { type: 'string', default: 'auto' },
  },
});
/** Width and height of SD 1.5's images in pixels; SDXL's are twice as large. */
const SIZE = Number(options.size);
const IS_ON_CPU = options.device === 'cpu';
const NATIVE = options.native ?? options.device;
/** The choices that results depend on, in the names of files. */
const CHOSEN = [SIZE, options.weights, options.device].join('-');
/** The same for native results, which other devices of the browser share. */
const CHOSEN_NATIVE = [SIZE, options.weights, NATIVE].join('-');
/** Timeout in ms for a case in a page. */
const PATIENCE = 4 * 3_600_000;
/** Maximum wasm memory of the engine in MiB, for any checkpoint; on the CPU, weights are in it. */
const MEMORY = IS_ON_CPU ? 4096 : 256;
/** Maximum relative distance of outputs of two software rasterizers, which sum in f32 in another order. */
const DISTANCE = 2e-5;
/** Maximum difference of pixel values in levels of 255, and the share that may differ: values between two levels may be rounded either way. */
const LEVELS = { most: 1, share: 0.01 };

/** Initial image: hills under an evening sky, as RGB in row-major order. */
const START = (() => {
  const rgb = Buffer.alloc(SIZE * SIZE * 3);
  for (let at = 0; at < SIZE * SIZE; at++) {
    const [x, y] = [(at % SIZE) / SIZE, Math.floor(at / SIZE) / SIZE];
    const isHill = y > 0.7 + 0.1 * Math.sin(7 * x);
    const isSun = Math.hypot(x - 0.65, y - 0.35) < 0.15;
    rgb.set(
      isHill ? [30, 90 - 60 * (y - 0.7), 40] : isSun ? [255, 240, 180] : [60 + 180 * y, 90 + 60 * y, 200 - 150 * y],
      3 * at,
    );
  }
  return rgb;
})();

/** Returns a case that generates an SD 1.5 image in two steps with guidance. */
function image(what, { strength = 0, ...more } = {}) {
  const adapters = strength ? [{ name: 'full-size', sha256: '', strength }] : [];
  const recipe = {
    version: 1,
    model: 'sd15',
    adapters,
    prompt: 'a lighthouse at dusk',
    negative: 'blurry',
    seed: 1,
    steps: 2,
    guidance: 5,
    sampler: 'ddim',
    width: SIZE,
    height: SIZE,
    ...more,
  };
  return { what, family: 'sd15', shape: shape(SIZE, true, recipe.denoise !== undefined), recipe };
}

/** Returns a case that generates an SD 1.5 image as a program does. */
function program(program) {
  const prompt = program === 'diffusers' ? 'a red apple' : 'a (red:1.3) apple';
  return image(`SD 1.5 as ${program} draws it`, { program, prompt, sampler: 'dpmpp_2m', steps: 4 });
}

/** Returns a case that calls a network once, for an image of `size`. */
const call = (what, family, size, network, blocks) => ({
  what,
  family,
  blocks,
  shape: shape(size, false, false),
  network: network(size / 8),
});
/** Returns a case that only plans an image with guidance, which is fast. */
const plans = (what, family, size) => ({ what, family, shape: shape(size, true, true) });
/** Returns a case that only loads the UNet's weights, as f16 as in the file. */
const load = (what, family) => ({ what, family, load: unet(8) });
const unet = (side) => ({ unet: { batch: 1, height: side, width: side, tokens: 77 } });
const decoder = (side) => ({ vae_decoder: { batch: 1, height: side, width: side } });
const shape = (size, guided, encodes_image) => ({
  images: 1,
  guided,
  prompts: 1,
  height: size / 8,
  width: size / 8,
  chunks: 1,
  clip_skip: 0,
  encodes_image,
});

const CASES = {
  'sd15-plans': plans('SD 1.5, plans', 'sd15', SIZE),
  'sdxl-plans': plans('SDXL, plans', 'sdxl', 2 * SIZE),
  lora: image('SD 1.5 with a LoRA', { strength: 1 }),
  strength: image('SD 1.5, the LoRA at strength 0.5', { strength: 0.5 }),
  plain: image('SD 1.5 without LoRA'),
  // Two of the seven steps remain.
  img2img: image('SD 1.5 with a LoRA, image to image', { strength: 1, steps: 7, denoise: 0.3 }),
  // The prompt has emphasis, which A1111 and ComfyUI compute in different ways.
  diffusers: program('diffusers'),
  a1111: program('a1111'),
  comfyui: program('comfyui'),
  'sd15-decoder': call('SD 1.5, VAE decoder', 'sd15', SIZE, decoder),
  'sd15-unet': call('SD 1.5, one call of the UNet', 'sd15', SIZE, unet),
  'sdxl-decoder': call('SDXL, VAE decoder', 'sdxl', 2 * SIZE, decoder),
  'sdxl-unet': call('SDXL, one call of the UNet', 'sdxl', SIZE, unet),
  'sdxl-unet-native-size': call('SDXL, one call of the UNet at its native size', 'sdxl', 2 * SIZE, unet),
  'sdxl-q8_0': call('SDXL in GGUF, Q8_0, one call of the UNet', 'sdxl', SIZE, unet, 'q8_0'),
  'sdxl-q4_k': call('SDXL in GGUF, Q4_K, one call of the UNet', 'sdxl', SIZE, unet, 'q4_k'),
  'sd15-load': load('SD 1.5, the UNet loaded', 'sd15'),
  'sdxl-load': load('SDXL, the UNet loaded', 'sdxl'),
};

mkdirSync(FOLDER, { recursive: true });
const named = (name) => join(FOLDER, name);
const wanted = positionals.length ? positionals.filter((name) => name !== 'table') : Object.keys(CASES);
for (const name of wanted)
  if (!CASES[name]) throw new Error(`there is no case ${name}; there are ${Object.keys(CASES).join(', ')}`);

for (const family of ['sd15', 'sdxl'])
  for (const blocks of [undefined, 'q8_0', 'q4_k'])
    await run(
      family,
      blocks,
      wanted.filter((name) => CASES[name].family === family && CASES[name].blocks === blocks),
    );
console.log(table());

/** Runs the cases of a family's file in one page, and each natively afterwards. */
async function run(family, blocks, names) {
  const isLeft = (name, where) =>
    (options.only ?? where) === where && !result(name)[where] && !(where === 'native' && CASES[name].load);
  const left = names.filter((name) => isLeft(name, 'chromium') || isLeft(name, 'native'));
  if (!left.length) return;
  const checkpoint = made(blocks ? `${family}-${blocks}.gguf` : `${family}.safetensors`, (file) =>
    tool('make', family, file, ...(blocks ? [blocks] : [])),
  );
  const lora = made('lora.safetensors', (file) => tool('lora', file));
  const sha256 = createHash('sha256').update(readFileSync(lora)).digest('hex');
  let browser;
  try {
    for (const name of left) {
      const { recipe, network, load, shape, what } = CASES[name];
      recipe?.adapters.forEach((adapter) => Object.assign(adapter, { sha256 }));
      const start = recipe?.denoise === undefined ? null : START;
      const out = (end) => named(`${name}-${end.startsWith('chromium') ? CHOSEN : CHOSEN_NATIVE}.${end}`);
      if (isLeft(name, 'chromium')) {
        browser ??= await opened(family, checkpoint, lora, sha256);
        console.log(`${name}: ${what}`);
        const asked = {
          family,
          recipe,
          network,
          load,
          shape,
          start: start?.toString('base64'),
          device: options.device,
        };
        const { answer, png, ...chromium } = await browser.page.evaluate(inChromium, asked);
        if (browser.errors.length) throw new Error(browser.errors.join('\n'));
        writeFileSync(out('chromium'), Buffer.from(answer, 'base64'));
        if (png) writeFileSync(out('chromium.png'), Buffer.from(png, 'base64'));
        keep(name, { chromium });
      }
      if (isLeft(name, 'native')) {
        if (start) writeFileSync(out('start'), start);
        const asked = {
          checkpoint,
          lora,
          shape,
          recipe,
          network,
          weights: options.weights,
          start: start && out('start'),
          out: out('native'),
        };
        writeFileSync(out('case.json'), JSON.stringify(asked));
        keep(name, { native: JSON.parse(tool('run', out('case.json'), ...(NATIVE === 'cpu' ? ['cpu'] : []))) });
      }
      const { chromium, native } = result(name);
      if (chromium && native && (recipe ?? network)) {
        const [ours, theirs] = ['chromium', 'native'].map((where) => readFileSync(out(where)));
        if (recipe) keep(name, { apart: levels(ours, theirs), looks: looks(ours) });
        if (network) keep(name, { apart: distance(ours, theirs) });
      }
      check(name, result(name));
    }
  } finally {
    await browser?.site.close();
  }
}

/** Returns the stored results of a case. */
function result(name) {
  const read = (file) => (existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {});
  return { ...read(named(`${name}-${CHOSEN_NATIVE}.native.json`)), ...read(named(`${name}-${CHOSEN}.json`)) };
}

function keep(name, { native, ...more }) {
  if (native) writeFileSync(named(`${name}-${CHOSEN_NATIVE}.native.json`), JSON.stringify({ native }, null, 1));
  const { native: _, ...kept } = result(name);
  writeFileSync(named(`${name}-${CHOSEN}.json`), JSON.stringify({ ...kept, ...more }, null, 1));
}

/** Opens a page whose engine has the checkpoint and the LoRA. */
async function opened(family, checkpoint, lora, sha256) {
  const site = await launch([], PATIENCE);
  const { page, errors } = await site.open(BLANK);
  page.setDefaultTimeout(0);
  page.on('console', (message) => console.log(message.text()));
  await page.evaluate(() => {
    for (const id of ['checkpoint', 'lora'])
      document.body.append(Object.assign(document.createElement('input'), { type: 'file', id }));
  });
  await page.setInputFiles('#checkpoint', checkpoint);
  await page.setInputFiles('#lora', lora);
  const merges = readFileSync(join(ROOT, 'crate/src/text/clip_merges.txt.gz')).toString('base64');
  const seconds = await page.evaluate(open, {
    family,
    merges,
    sha256,
    device: options.device,
    weights: options.weights,
  });
  console.log(`Chromium ${site.browser.version()}: ${family} opened in ${seconds.toFixed(1)} s`);
  return { site, page, errors };
}

/** Returns the path of a file, created on first use. */
function made(name, make) {
  const file = named(name);
  if (!existsSync(file)) make(file);
  return file;
}

/** Runs the native tool, which is built as the tests are. */
function tool(...args) {
  const cargo = ['build', '--quiet', '--workspace', '--bin', 'tools'];
  execFileSync('cargo', cargo, { cwd: ROOT, stdio: 'inherit' });
  const program = join(ROOT, 'target/debug/tools');
  return execFileSync(program, ['full_size', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim();
}

/** Returns the maximum difference in levels, and the share of values that differ. */
function levels(a, b) {
  let [most, off] = [a.length === b.length ? 0 : 255, 0];
  for (let i = 0; i < a.length; i++) {
    const levels = Math.abs(a[i] - b[i]);
    most = Math.max(most, levels);
    off += levels > 0;
  }
  return { most, share: off / a.length };
}

/** Returns ||a - b|| / ||b|| of f32 data. */
function distance(a, b) {
  const [ours, theirs] = [a, b].map(
    (bytes) => new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length)),
  );
  let [difference, size] = [0, 0];
  theirs.forEach((value, i) => ((difference += (ours[i] - value) ** 2), (size += value ** 2)));
  return { relative: ours.length === theirs.length ? Math.sqrt(difference / size) : Infinity };
}

/** Returns mean and standard deviation of pixel values, and the share of saturated ones. */
function looks(bytes) {
  const mean = bytes.reduce((sum, value) => sum + value, 0) / bytes.length;
  const deviation = Math.sqrt(bytes.reduce((sum, value) => sum + (value - mean) ** 2, 0) / bytes.length);
  return { mean, deviation, ends: bytes.filter((value) => value === 0 || value === 255).length / bytes.length };
}

function check(name, { chromium, native, apart, looks }) {
  const wrong = (why) => {
    throw new Error(`${name}: ${why}`);
  };
  if (chromium?.memory > MEMORY) wrong(`${chromium.memory} MiB of wasm memory`);
  const steps = (run) => JSON.stringify(run.plans.map(({ name, steps, flops }) => [name, steps, flops]));
  if (chromium?.plans && native && steps(chromium) !== steps(native))
    wrong(`plans differ: ${steps(chromium)} in Chromium, ${steps(native)} natively`);
  if (
    apart &&
    !(apart.relative === undefined
      ? apart.most <= LEVELS.most && apart.share <= LEVELS.share
      : apart.relative <= DISTANCE)
  )
    wrong(`Chromium and native are apart: ${JSON.stringify(apart)}`);
  if (looks && !(looks.deviation > 10 && looks.ends < 0.5)) wrong(`no image: ${JSON.stringify(looks)}`);
}

/** Runs in the page: opens an engine in the same way as the app's worker. */
async function open({ family, merges, sha256, device, weights }) {
  const { default: init } = await import('/pkg/engine.js');
  globalThis.goldens = await import('/tests/browser/goldens.js');
  globalThis.engine = await goldens.engine();
  globalThis.wasm = await init();
  const file = (id) => ({ file: document.querySelector(id).files[0] });
  await engine.choose_device(device);
  engine.choose_weights(weights);
  engine.remember(sha256, file('#lora'));
  const started = performance.now();
  await engine.open_checkpoint(
    family,
    [{ ...file('#checkpoint'), name: family }],
    Uint8Array.from(atob(merges), (c) => c.charCodeAt(0)),
  );
  return (performance.now() - started) / 1000;
}

/** Runs in the page: runs one case and returns the seconds of its stages. */
async function inChromium({ family, recipe, network, load, shape, start, device }) {
  const base64 = (bytes) => {
    let text = '';
    for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(text);
  };
  const adapter = device === 'cpu' ? 'CPU' : (await engine.gpu()).adapter;
  const stages = {};
  let [stage, since, told] = ['', 0, ''];
  const begin = (next, step) => {
    if (stage) stages[stage] = (stages[stage] ?? 0) + (performance.now() - since) / 1000;
    const tell = next === 'denoise' ? `${next} ${step}` : next;
    if (tell && tell !== told) console.log(`  ${tell}`);
    [stage, since, told] = [next, performance.now(), tell];
  };
  const started = performance.now();
  let answer = new Uint8Array();
  let png;
  if (recipe) {
    const rgb = start && Uint8Array.from(atob(start), (c) => c.charCodeAt(0));
    const rgba =
      rgb &&
      Uint8Array.from({ length: (rgb.length / 3) * 4 }, (_, i) =>
        i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)],
      );
    const drawn = await engine.generate(recipe, ({ stage, step }) => begin(stage, step), rgba, undefined, false);
    begin('');
    answer = drawn.rgba.filter((_, i) => i % 4 < 3);
    png = base64(drawn.png);
  } else if (network ?? load) {
    begin('load');
    await engine.probe_loading(network ?? load);
  }
  if (network) {
    begin('call');
    const { numbers, sinusoid } = goldens;
    const { height, width } = network.unet ?? network.vae_decoder;
    const [textWidth, added] = family === 'sdxl' ? [2048, { added: numbers(4, 2816, 1, 0) }] : [768, {}];
    const inputs = network.unet
      ? {
          sample: numbers(2, height * width * 4, 1, 0),
          time: sinusoid(500, 320),
          text: numbers(3, 77 * textWidth, 1, 0),
          ...added,
        }
      : { latents: numbers(2, height * width * 4, 5, 0) };
    const { noise, image } = await engine.probe_network(network, inputs, []);
    answer = new Uint8Array((noise ?? image).buffer);
  }
  begin('');
  const seconds = (performance.now() - started) / 1000;
  return {
    adapter,
    seconds,
    stages,
    plans: shape && (await engine.probe_plans(shape)),
    memory: wasm.memory.buffer.byteLength / 2 ** 20,
    answer: base64(answer),
    png,
  };
}

/** Formats all results as a Markdown table. */
function table() {
  const found = Object.entries(CASES)
    .map(([name, { what }]) => ({ name, what, ...result(name) }))
    .filter(({ chromium, native }) => chromium || native);
  const minutes = (seconds) =>
    seconds === undefined ? '' : seconds < 90 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`;
  const stages = ({ stages }) =>
    Object.entries(stages)
      .map(([stage, seconds]) => `${stage} ${minutes(seconds)}`)
      .join(', ');
  const took = (run) => (run ? `${minutes(run.seconds)}: ${stages(run)}` : '');
  const apart = ({ relative, most, share } = {}) =>
    relative !== undefined
      ? relative.toExponential(1)
      : share === undefined
        ? ''
        : `${most} of 255, ${(100 * share).toFixed(3)} %`;
  const rows = found.map(
    ({ what, chromium, native, ...result }) =>
      `| ${what} | ${took(chromium)} | ${took(native)} | ${apart(result.apart)} | ${chromium?.memory.toFixed(0) ?? ''} MiB |`,
  );
  const plans = found
    .filter(({ chromium }) => chromium?.plans)
    .flatMap(({ name, chromium }) =>
      chromium.plans.map(
        ({ name: plan, steps, dispatches, flops, temporaries }) =>
          `| ${name} | ${plan} | ${steps} | ${dispatches} | ${(flops / 1e9).toFixed(0)} | ${(temporaries / 2 ** 20).toFixed(0)} MiB |`,
      ),
    );
  return [
    '| | in Chromium | natively | apart | wasm memory |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    '| | plan | steps | dispatches | GFLOP | temporaries |',
    '| --- | --- | --- | --- | --- | --- |',
    ...plans,
  ].join('\n');
}
