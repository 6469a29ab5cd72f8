/** Benchmarks inside the page: the engine and onnxruntime-web on the same values, in turns. */
import { engine as open, relRms, remembered } from '/tests/browser/goldens.js';
import { transposed } from '/tests/bench/values.mjs';

const ORT = '/tests/bench/node_modules/onnxruntime-web/dist/';
/** Milliseconds for which one engine runs a case before the next one's turn. */
const TURN = 500;
/** Turns of the engines that run on the processor; the others take seconds per run and get one. */
const TURNS = 4;
/** Maximum relative distance of two correct f32 results. */
const LIKE = 1e-5;

let engine;
/** The peer's engines by name: each is an instance of its own, since the number of threads is fixed at its start. */
let peers;

export async function start() {
  engine = await open();
  const load = async (bundle, numThreads, provider) => {
    const ort = await import(`${ORT}${bundle}`);
    ort.env.wasm.numThreads = numThreads;
    ort.env.wasm.wasmPaths = ORT;
    return { ort, provider };
  };
  const threads = navigator.hardwareConcurrency;
  peers = {
    webgpu: await load('ort.webgpu.bundle.min.mjs', 1, 'webgpu'),
    wasm: await load('ort.wasm.bundle.min.mjs', 1, 'wasm'),
    threads: await load(`ort.wasm.bundle.min.mjs?${threads}`, threads, 'wasm'),
  };
  return { isolated: crossOriginIsolated, threads };
}

export const adapter = async () => {
  const info = await engine.gpu();
  const { web } = peers.wasm.ort.env.versions;
  return `${info.adapter} (${info.backend}), ${navigator.hardwareConcurrency} cores; onnxruntime-web ${web}`;
};
export const roof = () => engine.bench_roof();
export const names = () => engine.bench_names(false, false);

/**
 * Times a case with our engine on the processor and by WebGPU, and with the peer's engines.
 *
 * @param {string} name
 * @param {{ models: string[], inputs: { name: string, dims: number[], file: string }[], output: number[] } | null} peer
 *   addresses of its models and of its inputs' values; WebGPU runs the first model, the processor all of them
 */
export async function row(name, peer) {
  const onCpu = (await engine.bench_names(false, true)).includes(name);
  const times = { gpu: [], cpu: [], webgpu: [], wasm: [], threads: [] };
  const gpu = await engine.bench_case(false, name, false, true);
  times.gpu.push(gpu.row.ours_ms.min);
  const wanted = peer && lastToFirst(gpu.output, peer.output);
  const sessions = [];
  for (const engine of peer ? Object.keys(peers) : [])
    for (const address of engine === 'webgpu' ? peer.models.slice(0, 1) : peer.models) {
      const session = await sessionOf(engine, address, peer.inputs);
      const found = relRms(await session.result(), wanted);
      if (!(found < LIKE)) throw new Error(`${name}: the peer's result (${engine}) differs by ${found}`);
      sessions.push(session);
    }
  for (let turn = 0; turn < TURNS; turn++) {
    if (onCpu) {
      const { row, output } = await engine.bench_case(false, name, true, true);
      const found = relRms(output, gpu.output);
      if (!(found < LIKE)) throw new Error(`${name}: the processor's result differs by ${found}`);
      times.cpu.push(row.ours_ms.min);
    }
    for (const session of sessions)
      if (turn === 0 || session.engine !== 'webgpu') times[session.engine].push(await shortest(session.run));
  }
  for (const session of sessions) await session.close();
  const best = (engine) => (times[engine].length ? Math.min(...times[engine]) : null);
  return {
    ...gpu.row,
    ours: { gpu: best('gpu'), cpu: best('cpu') },
    peer: { webgpu: best('webgpu'), wasm: best('wasm'), threads: best('threads') },
  };
}

/** Opens a model with its inputs; those of WebGPU are on the GPU, and its outputs stay there. */
async function sessionOf(engine, address, inputs) {
  const { ort, provider } = peers[engine];
  const onGpu = provider === 'webgpu';
  const fetched = async (address) => (await fetch(address)).arrayBuffer();
  const session = await ort.InferenceSession.create(new Uint8Array(await fetched(address)), {
    executionProviders: [provider],
    ...(onGpu && { preferredOutputLocation: 'gpu-buffer' }),
  });
  const device = onGpu && (await ort.env.webgpu.device);
  const buffers = [];
  const tensor = ({ dims }, data) => {
    if (!onGpu) return new ort.Tensor('float32', data, dims);
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ size: Math.ceil(data.byteLength / 16) * 16, usage });
    device.queue.writeBuffer(buffer, 0, data);
    buffers.push(buffer);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims });
  };
  const feeds = {};
  for (const input of inputs) feeds[input.name] = tensor(input, new Float32Array(await fetched(input.file)));
  return {
    engine,
    async result() {
      const { y } = await session.run(feeds);
      const data = Float32Array.from(await y.getData());
      y.dispose();
      return data;
    },
    async run() {
      const { y } = await session.run(feeds);
      if (onGpu) await device.queue.onSubmittedWorkDone();
      y.dispose();
    },
    async close() {
      await session.release();
      buffers.forEach((buffer) => buffer.destroy());
    },
  };
}

/** Returns the shortest time of many runs in milliseconds. */
async function shortest(run) {
  let best = Infinity;
  for (const end = performance.now() + TURN; ;) {
    const started = performance.now();
    await run();
    best = Math.min(best, performance.now() - started);
    if (performance.now() > end) return best;
  }
}

const lastToFirst = (data, dims) => (dims.length === 4 ? transposed(data, dims[0], dims[2] * dims[3], dims[1]) : data);

/** Benchmarks the demo model with one of its LoRAs on a device, `gpu` or `cpu`. */
export async function demo(root, device) {
  const get = async (path) => (await fetch(root + path)).blob();
  const catalogue = JSON.parse(await (await get('demo.json')).text());
  const files = await Promise.all(
    catalogue.files.map(async ({ path }) => ({ path, file: await get(`model/${path}`) })),
  );
  await engine.choose_device(device);
  const model = await engine.open_model('demo', files);
  const [{ file }] = catalogue.loras;
  const sha256 = await remembered(engine, new File([await get(`loras/${file}`)], file));
  const rows = await engine.bench_session({
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
  return rows.map((row) => ({ ...row, name: `${row.name}, on the ${device === 'cpu' ? 'processor' : 'GPU'}` }));
}
