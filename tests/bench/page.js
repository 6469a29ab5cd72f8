/** Benchmarks inside the page: the engine and onnxruntime-web on the same values. */
import { engine as open, relRms, remembered } from '/tests/browser/goldens.js';

const ORT = '/tests/bench/node_modules/onnxruntime-web/dist/';
let engine;
let ort;

export async function start() {
  engine = await open();
  ort = await import(`${ORT}ort.webgpu.bundle.min.mjs`);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = ORT;
}

export const adapter = async () => {
  const info = await engine.gpu();
  return `${info.adapter} (${info.backend})`;
};
export const peer = () => `onnxruntime-web ${ort.env.versions.web}, WebGPU`;
export const roof = () => engine.bench_roof();
export const names = () => engine.bench_names(false);

/** Returns our row and, with a peer, its times and the distance of its output from ours. */
export async function kernel(name, peer, rounds) {
  const { row, output } = await engine.bench_case(false, name, Boolean(peer));
  if (!peer) return { row };
  const { times, data } = await timePeer(peer, rounds);
  return { row, times, distance: relRms(lastToFirst(output, peer.model.output), data) };
}

/** Times the peer's session: tensors stay on the GPU, and the first run is a warm-up. */
async function timePeer({ model, names }, rounds) {
  const options = { executionProviders: ['webgpu'], preferredOutputLocation: 'gpu-buffer' };
  const session = await ort.InferenceSession.create(Uint8Array.from(model.bytes), options);
  const device = await ort.env.webgpu.device;
  const feeds = {};
  const buffers = [];
  for (const { name, dims } of model.inputs) {
    const data = peerNumbers(names[name], dims);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage });
    device.queue.writeBuffer(buffer, 0, data);
    buffers.push(buffer);
    feeds[name] = ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims });
  }
  const times = [];
  let data;
  for (let round = 0; round <= rounds; round++) {
    const started = performance.now();
    const { y } = await session.run(feeds);
    await device.queue.onSubmittedWorkDone();
    if (round > 0) times.push(performance.now() - started);
    else data = Float32Array.from(await y.getData());
    y.dispose();
  }
  await session.release();
  buffers.forEach((buffer) => buffer.destroy());
  return { times, data };
}

/** Returns the values of our tensor in PyTorch's and ONNX's layout. */
function peerNumbers(name, dims) {
  const count = dims.reduce((a, b) => a * b, 1);
  const isWeight = name.endsWith('weight') || name === 'w';
  if (dims.length === 4 && isWeight) {
    // (O, I, 3, 3) in ONNX, (O, 3, 3, I) in ours.
    const [outer, inner, height, width] = dims;
    const ours = numbers(name, count, inner * height * width);
    return rearrange(ours, outer, height * width, inner);
  }
  if (dims.length === 2 && isWeight) return rearrange(numbers(name, count, dims[0]), 1, dims[1], dims[0]);
  if (dims.length === 4) return rearrange(numbers(name, count), dims[0], dims[2] * dims[3], dims[1]);
  // Matrices are scaled by their width; `time` and norms are not scaled.
  return numbers(name, count, dims.length === 2 ? dims[1] : undefined);
}

/** Transposes (outer, rows, columns) to (outer, columns, rows). */
function rearrange(data, outer, rows, columns) {
  const out = new Float32Array(data.length);
  for (let o = 0; o < outer; o++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++) out[(o * columns + c) * rows + r] = data[(o * rows + r) * columns + c];
  return out;
}

const lastToFirst = (data, dims) => (dims.length === 4 ? rearrange(data, dims[0], dims[2] * dims[3], dims[1]) : data);

/** Reproducible values, identical to `numbers` in crate/src/bench/cases.rs. */
function numbers(name, count, inner) {
  let seed = 0x811c9dc5;
  for (const letter of name) seed = Math.imul(seed ^ letter.charCodeAt(0), 0x01000193) >>> 0;
  const scale = inner ? Math.fround(Math.sqrt(Math.fround(3 / inner))) : 1;
  const shift = Math.imul(seed, 0x9e3779b9);
  return Float32Array.from({ length: count }, (_, i) => {
    const word = (Math.imul(i + 1, 2654435761) + shift) >>> 0;
    return ((word >>> 8) / 8388608 - 1) * scale;
  });
}

/** Benchmarks the demo model with one of its LoRAs. */
export async function demo(root) {
  const get = async (path) => (await fetch(root + path)).blob();
  const catalogue = JSON.parse(await (await get('demo.json')).text());
  const files = await Promise.all(
    catalogue.files.map(async ({ path }) => ({ path, file: await get(`model/${path}`) })),
  );
  const model = await engine.open_model('demo', files);
  const [{ file }] = catalogue.loras;
  const place = { file: new File([await get(`loras/${file}`)], file) };
  const sha256 = await remembered(engine, place.file);
  return engine.bench_session({
    version: 1,
    model: 'demo',
    adapters: [{ name: file, sha256, strength: 1 }],
    prompt: 'a panda',
    negative: '',
    seed: 1,
    steps: 4,
    guidance: 5,
    sampler: 'dpmpp_2m',
    width: model.width,
    height: model.height,
  });
}
