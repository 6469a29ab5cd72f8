/** Golden files as tensors in the browser, and distances of the engine's results from them. */
import init, { Engine } from '/pkg/engine.js';
import initInspector, { Inspector } from '/pkg/inspector.js';
import { compileInBackground } from '/web/engine/pipelines.js';
import { askForSubgroups } from '/web/engine/subgroups.js';

/** Returns an engine in the test page, without the app. */
export async function engine() {
  askForSubgroups();
  compileInBackground();
  await init({ module_or_path: '/pkg/engine_bg.wasm' });
  return new Engine();
}

/** Returns an inspector in the test page, without the app. */
export async function inspector() {
  await initInspector({ module_or_path: '/pkg/inspector_bg.wasm' });
  return new Inspector();
}

/** Lets an engine use a file in recipes; returns its SHA-256. */
export async function remembered(engine, file) {
  const hash = new Uint8Array(await crypto.subtle.digest('SHA-256', await file.arrayBuffer()));
  const sha256 = Array.from(hash, (byte) => byte.toString(16).padStart(2, '0')).join('');
  engine.remember(sha256, { file });
  return sha256;
}

/** Returns a file of tests/ as a Blob. */
export async function blob(path) {
  const response = await fetch(`/tests/${path}`);
  if (!response.ok) throw new Error(`tests/${path}: ${response.status}`);
  return response.blob();
}

export const json = async (path) => JSON.parse(await (await blob(path)).text());

/** A recipe of mini-sd15. */
export const IMAGE = {
  version: 1,
  model: 'mini-sd15',
  adapters: [],
  prompt: 'a cat',
  negative: '',
  seed: 3,
  steps: 2,
  guidance: 5,
  sampler: 'ddim',
  width: 64,
  height: 64,
};

/** Returns all tensors of a safetensors file as {name: {shape, data}}; integers are converted to numbers. */
export async function tensors(path) {
  const bytes = await (await blob(path)).arrayBuffer();
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)));
  const read = ({ dtype, data_offsets: [from, to] }) => {
    const raw = bytes.slice(8 + length + from, 8 + length + to);
    if (dtype === 'F32') return new Float32Array(raw);
    if (dtype === 'I64') return Float32Array.from(new BigInt64Array(raw), Number);
    if (dtype === 'I32') return Float32Array.from(new Int32Array(raw));
    throw new Error(`${path}: ${dtype}`);
  };
  const entries = Object.entries(header).filter(([name]) => name !== '__metadata__');
  return Object.fromEntries(entries.map(([name, info]) => [name, { shape: info.shape, data: read(info) }]));
}

/** Converts (B, C, …) to (B, …, C). */
export function channelsLast({ shape: [batch, channels, ...rest], data }) {
  const pixels = rest.reduce((a, b) => a * b, 1);
  const out = new Float32Array(data.length);
  for (let b = 0; b < batch; b++)
    for (let c = 0; c < channels; c++)
      for (let p = 0; p < pixels; p++) out[(b * pixels + p) * channels + c] = data[(b * channels + c) * pixels + p];
  return out;
}

/** Returns ||a - b|| / ||b||; Infinity if the lengths differ or a value is not finite. */
export function relRms(a, b) {
  if (a.length !== b.length) return Infinity;
  let [difference, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    if (!Number.isFinite(a[i]) || !Number.isFinite(b[i])) return Infinity;
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(size === 0 ? difference : difference / size);
}

/** Reproducible pseudo-random values, identical to `numbers` in make/ops.py. */
export function numbers(seed, count, scale, shift) {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let x = (Math.imul(i, 2654435761) + Math.imul(seed, 40503)) >>> 0;
    for (let round = 0; round < 2; round++) x = Math.imul(x ^ (x >>> 16), 0x45d9f3b) >>> 0;
    x = (x ^ (x >>> 16)) >>> 0;
    const unit = Math.fround((x >>> 8) / 8388608 - 1);
    out[i] = Math.fround(Math.fround(unit * Math.fround(scale)) + Math.fround(shift));
  }
  return out;
}

/** Returns the timestep embedding that the UNet plan takes: cosines, then sines. */
export function sinusoid(timestep, width) {
  const half = width / 2;
  const angles = Array.from({ length: half }, (_, i) => timestep * Math.exp((-Math.log(10000) * i) / half));
  return Float32Array.from([...angles.map(Math.cos), ...angles.map(Math.sin)]);
}

export function repeat(data, times) {
  const out = new Float32Array(data.length * times);
  for (let i = 0; i < times; i++) out.set(data, i * data.length);
  return out;
}

/** Returns the files of mini-sd15 in full precision, in the form of a model folder for the engine. */
export const miniModel = () => model('golden/pipelines/mini-sd15');

/** Returns the files of a pipeline folder; `coders` are the suffixes of its text encoders' names. */
export async function model(root, coders = ['']) {
  const paths = ['model_index.json', 'scheduler/scheduler_config.json'];
  for (const part of ['unet', 'vae']) paths.push(`${part}/config.json`, `${part}/diffusion_pytorch_model.safetensors`);
  for (const end of coders) {
    paths.push(`text_encoder${end}/config.json`, `text_encoder${end}/model.safetensors`);
    for (const file of ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json'])
      paths.push(`tokenizer${end}/${file}`);
  }
  return Promise.all(paths.map(async (path) => ({ path, file: await blob(`${root}/${path}`) })));
}
