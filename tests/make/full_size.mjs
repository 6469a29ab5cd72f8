/**
 * Turns made-up checkpoints of real size into what loading them and one call of their UNet take in headless Chromium,
 * compared with the same call natively. Not part of the tests: it takes some 20 GB of disk and memory, and an hour on
 * a software renderer.
 *
 *     cargo xtask test page
 *     CHROME_PATH=/usr/bin/chromium node tests/make/full_size.mjs            # SD 1.5 at 256x256, natively also 512x512
 *     CHROME_PATH=/usr/bin/chromium node tests/make/full_size.mjs sdxl load  # only loads the UNet of SDXL
 *
 * The files are made once and stay in the system's folder for temporary files.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BLANK, launch } from '../browser/harness.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const [family = 'sd15', only = ''] = process.argv.slice(2);
/** Most MiB that the engine's own memory may take, whatever the checkpoint. */
const LIMIT = 256;
/** How far two software renderers may be apart. */
const DISTANCE = 1e-4;

const tool = (...args) => {
  const command = ['run', '--release', '--quiet', '-p', 'lora-loupe-tests', '--bin', 'full_size', '--', ...args.map(String)];
  console.log(execFileSync('cargo', command, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] }).trim());
};

const file = join(tmpdir(), `lora-loupe-${family}.safetensors`);
if (!existsSync(file)) tool('make', family, file);
console.log(`${file}: ${(statSync(file).size / 1e9).toFixed(2)} GB`);

const site = await launch();
let apart = 0;
let memory = 0;
try {
  const { page } = await site.open(BLANK);
  page.setDefaultTimeout(0);
  await page.evaluate(() => {
    const input = document.createElement('input');
    Object.assign(input, { type: 'file', id: 'file' });
    document.body.append(input);
  });
  await page.setInputFiles('#file', file);
  const merges = readFileSync(join(ROOT, 'crate/src/text/clip_merges.txt.gz')).toString('base64');
  const answer = await page.evaluate(inChromium, { merges, family, only });
  memory = answer.memory;
  console.log(`Chromium, ${answer.adapter}: opened in ${answer.opened.toFixed(1)} s, UNet loaded${only ? '' : ' and run once at 256x256'} in ${answer.seconds.toFixed(1)} s, wasm memory ${memory.toFixed(0)} MiB`);
  if (!only) {
    const out = join(tmpdir(), 'lora-loupe-unet.f32');
    tool('unet', file, 256, 1, out);
    const bytes = readFileSync(out);
    const native = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const [difference, size] = native.reduce(([d, s], value, i) => [d + (answer.noise[i] - value) ** 2, s + value ** 2], [0, 0]);
    apart = native.length === answer.noise.length ? Math.sqrt(difference / size) : Infinity;
    console.log(`Chromium and native are ${apart.toExponential(1)} apart`);
    tool('unet', file, 512, 2, out);
  }
} finally {
  await site.close();
}
if (!(memory < LIMIT && apart < DISTANCE)) throw new Error(`at most ${LIMIT} MiB and ${DISTANCE} are allowed`);

/** Runs in the page. Keeps halves as real graphics processors do where the file is only loaded. */
async function inChromium({ merges, family, only }) {
  const { default: init, Engine } = await import('/pkg/lora_loupe.js');
  const { numbers, sinusoid } = await import('/tests/browser/goldens.js');
  const wasm = await init();
  const engine = new Engine();
  const since = (start) => (performance.now() - start) / 1000;
  let start = performance.now();
  const merged = Uint8Array.from(atob(merges), (c) => c.charCodeAt(0));
  await engine.open_checkpoint(family, { file: document.querySelector('#file').files[0] }, merged, undefined);
  const opened = since(start);
  const { adapter } = await engine.gpu();
  start = performance.now();
  const network = { unet: { batch: 1, height: 32, width: 32, tokens: 77 } };
  const told = { sd15: 768, sd21: 1024, sdxl: 2048 }[family];
  const inputs = { sample: numbers(2, 32 * 32 * 4, 1, 0), time: sinusoid(500, 320), text: numbers(3, 77 * told, 1, 0) };
  if (family === 'sdxl') inputs.added = numbers(4, 2816, 1, 0);
  const { noise } = only ? { noise: [] } : await engine.probe_network(network, inputs, []);
  if (only) await engine.probe_loading(network);
  return { opened, seconds: since(start), adapter, noise: [...noise], memory: wasm.memory.buffer.byteLength / 2 ** 20 };
}
