/**
 * Generates one SD 1.5 image natively with each storage of the weights, f16, q8, q4 and streamed f16, and prints a table:
 * PSNR against f16, and the seconds of the stages. The weights are synthetic and of real size. Not part of the tests.
 *
 *     node tests/make/storage_quality.mjs [--size 256] [--steps 2] [--device cpu|gpu] [f16 q8 q4 streamed]
 *
 * Files are kept in the system's folder for temporary files, 2 GB, as those of full_size.mjs are.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const FOLDER = join(tmpdir(), 'lora-loupe-full-size');
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    size: { type: 'string', default: '256' },
    steps: { type: 'string', default: '2' },
    device: { type: 'string', default: 'cpu' },
  },
});
const SIZE = Number(options.size);
const STORAGES = positionals.length ? positionals : ['f16', 'q8', 'q4', 'streamed'];

mkdirSync(FOLDER, { recursive: true });
execFileSync('cargo', ['build', '--quiet', '--workspace', '--bin', 'tools'], { cwd: ROOT, stdio: 'inherit' });
const checkpoint = join(FOLDER, 'sd15.safetensors');
if (!existsSync(checkpoint)) tool('make', 'sd15', checkpoint);
const images = STORAGES.map(generated);
console.log(`SD 1.5 at ${SIZE}x${SIZE}, ${options.steps} steps with guidance, ${images[0].adapter}`);
console.log('| weights | PSNR against the first | differing values | largest difference | load | denoise | memory |');
console.log('| --- | --- | --- | --- | --- | --- | --- |');
for (const { storage, rgb, stages, memory } of images) {
  const { psnr, share, most } = apart(rgb, images[0].rgb);
  const seconds = (stage) => `${(stages[stage] ?? 0).toFixed(1)} s`;
  const cells = [storage, psnr, share, most, seconds('load'), seconds('denoise'), `${memory} MiB`];
  console.log(`| ${cells.join(' | ')} |`);
}

/** Generates the image with weights stored in one way. */
function generated(storage) {
  const out = join(FOLDER, `quality-${SIZE}-${options.steps}-${options.device}-${storage}.rgb`);
  const recipe = {
    version: 1,
    model: 'sd15',
    adapters: [],
    prompt: 'a lighthouse at dusk',
    negative: 'blurry',
    seed: 1,
    steps: Number(options.steps),
    guidance: 5,
    sampler: 'ddim',
    width: SIZE,
    height: SIZE,
  };
  const [height, width] = [SIZE / 8, SIZE / 8];
  const shape = { images: 1, guided: true, prompts: 1, height, width, chunks: 1, clip_skip: 0, encodes_image: false };
  const asked = `${out}.case.json`;
  writeFileSync(asked, JSON.stringify({ checkpoint, lora: '', shape, recipe, weights: storage, out }));
  const result = JSON.parse(tool('run', asked, ...(options.device === 'cpu' ? ['cpu'] : [])));
  console.error(`${storage}: ${result.seconds.toFixed(0)} s`);
  return { ...result, storage, rgb: readFileSync(out) };
}

/** Returns how far two images are apart: PSNR, the share of values that differ, and the largest difference in levels. */
function apart(a, b) {
  let [squares, differing, most] = [0, 0, 0];
  a.forEach((value, at) => {
    const levels = Math.abs(value - b[at]);
    squares += levels ** 2;
    differing += levels > 0;
    most = Math.max(most, levels);
  });
  const psnr = squares ? `${(10 * Math.log10((255 ** 2 * a.length) / squares)).toFixed(1)} dB` : 'the same image';
  return { psnr, share: `${((100 * differing) / a.length).toFixed(0)}%`, most };
}

/** Runs the native tool, which is built as the tests are. */
function tool(...args) {
  const program = join(ROOT, 'target/debug/tools');
  const stdio = ['ignore', 'pipe', 'inherit'];
  return execFileSync(program, ['full_size', ...args], { cwd: ROOT, encoding: 'utf8', stdio }).trim();
}
