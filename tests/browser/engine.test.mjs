/** The engine in Chromium compared with the goldens of PyTorch and diffusers: operations, networks, images. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { BLANK, launch } from './harness.mjs';

/** Tolerances of tests/kernels.rs and tests/harness/compare.rs. */
const LIMITS = { kernel: 5e-6, definition: 3e-7, text: 1e-5, unet: 1e-5, inner: 2e-5, vae: 1e-5, latents: 2e-5 };

let app;
let page;
let errors;
before(async () => {
  app = await launch();
  ({ page, errors } = await app.open(BLANK));
  await page.evaluate(async () => {
    globalThis.g = await import('/tests/browser/goldens.js');
    globalThis.agreement = await import('/tests/browser/agreement.js');
    globalThis.engine = await g.engine();
  });
});
after(() => app?.close());

function under(distances, limit) {
  const names = Object.keys(distances);
  assert.ok(names.length > 0, 'something was compared');
  for (const name of names) assert.ok(distances[name] <= limit, `${name}: rel_rms ${distances[name]} > ${limit}`);
}

test('every kernel, of the GPU and of the processor, agrees with its definition, and the definition with PyTorch', async () => {
  const found = await page.evaluate(async () => {
    const cases = await g.json('golden/ops/ops.json');
    const golden = await g.tensors('golden/ops/ops.safetensors');
    const [tiled, direct, winograd, subgroups, cpu, definition] = [{}, {}, {}, {}, {}, {}];
    for (const [index, { op, fields, shapes, scales, shifts, scalars }] of cases.entries()) {
      const size = (shape) => shape.reduce((a, b) => a * b, 1);
      const inputs = shapes.map((shape, i) => g.numbers(index * 16 + i, size(shape), scales[i], shifts[i]));
      const got = await engine.probe_op({ [op]: fields }, shapes, inputs, scalars);
      const name = `${index} ${op} ${JSON.stringify(fields)} ${JSON.stringify(shapes)}`;
      tiled[name] = g.relRms(got.tiled, got.definition);
      direct[name] = g.relRms(got.direct, got.definition);
      cpu[name] = g.relRms(got.cpu, got.definition);
      if (got.subgroups) subgroups[name] = g.relRms(got.subgroups, got.definition);
      if (got.winograd) winograd[name] = g.relRms(got.winograd, got.definition);
      const wanted = golden[index].data;
      // Goldens contain outputs of up to 1024 elements in full, and samples of larger ones.
      if (wanted.length === got.definition.length) definition[name] = g.relRms(got.definition, wanted);
    }
    const offered = (await navigator.gpu.requestAdapter()).features.has('subgroups');
    return { tiled, direct, winograd, subgroups, cpu, definition, offered };
  });
  assert.ok(Object.keys(found.tiled).length >= 60);
  // 4 to 320 channels, 128 to 128, a batch of two with odd sizes, three chunks of tiles.
  assert.equal(Object.keys(found.winograd).length, 4);
  assert.ok(Object.keys(found.definition).length >= 20);
  under(found.tiled, LIMITS.kernel);
  under(found.direct, LIMITS.kernel);
  under(found.cpu, LIMITS.kernel);
  under(found.winograd, LIMITS.kernel);
  // wgpu does not request subgroups, but the device has them if the adapter does.
  assert.equal(Object.keys(found.subgroups).length, found.offered ? 19 : 0);
  if (found.offered) under(found.subgroups, LIMITS.kernel);
  under(found.definition, LIMITS.definition);
});

test('products of matrices in blocks agree with their definition, in every tile shape', async () => {
  const found = await page.evaluate(async () => {
    const cases = await g.json('golden/ops/quantized.json');
    const distances = {};
    for (const storage of ['q8', 'q4'])
      for (const { op, shapes } of cases) {
        const size = (shape) => shape.reduce((a, b) => a * b, 1);
        const inputs = shapes.map((shape, i) => g.numbers(i, size(shape), 1, 0.01));
        const { definition, ...kernels } = await engine.probe_product(op, shapes, inputs, storage);
        for (const [kernel, got] of Object.entries(kernels))
          distances[`${storage} ${kernel} ${JSON.stringify(op)} ${JSON.stringify(shapes)}`] = g.relRms(got, definition);
      }
    return distances;
  });
  // Two storages, eleven products; three tile shapes and more that fall back to one of them, untiled, the processor.
  assert.ok(Object.keys(found).length >= 2 * 11 * 6, `${Object.keys(found).length} runs`);
  under(found, LIMITS.kernel);
});

test('mini-sd15: text encoder, UNet and VAE decoder agree with diffusers', async () => {
  const found = await page.evaluate(async () => {
    await engine.open_model('mini-sd15', await g.miniModel());
    return agreement.networks(engine);
  });
  under(found.text, LIMITS.text);
  under(found.unet, LIMITS.unet);
  under(found.vae, LIMITS.vae);
});

test('kernels can be timed here, within seconds, and what is found is kept and used', async () => {
  const { text, seconds } = await page.evaluate(async () => {
    const started = performance.now();
    const text = await engine.probe_tuning({ unet: { batch: 1, height: 4, width: 4, tokens: 8 } });
    const seconds = (performance.now() - started) / 1000;
    engine.use_tuning('no tuning');
    engine.use_tuning(JSON.stringify({ device: 'another', best: { nothing: 1 } }));
    const kept = engine.tuning() === text;
    return { text: kept && text, seconds };
  });
  const { device, best } = JSON.parse(text);
  assert.match(device, /kernels [0-9a-f]{8}$/);
  assert.ok(
    Object.values(best).every((index) => index < 4),
    text,
  );
  assert.ok(seconds < 60, `${seconds} s`);
});

test('mini-sd15: every block inside the UNet agrees with diffusers', async () => {
  const taps = JSON.parse(readFileSync(new URL('taps.json', import.meta.url), 'utf8'));
  const found = await page.evaluate(async (taps) => {
    const root = 'golden/components/mini-sd15';
    const cases = await g.tensors(`${root}/unet.safetensors`);
    const inner = await g.tensors(`${root}/unet_intermediates.safetensors`);
    const inputs = {
      sample: g.channelsLast(cases['b1_t981.sample']),
      time: g.sinusoid(981, 16),
      text: cases['b1_t981.encoder_hidden_states'].data,
    };
    const [, , height, width] = cases['b1_t981.sample'].shape;
    const network = { unet: { batch: 1, height, width, tokens: 77 } };
    const got = await engine.probe_network(network, inputs, Object.values(taps));
    const distances = {};
    for (const [name, label] of Object.entries(taps)) {
      const wanted = inner[name];
      distances[name] = g.relRms(got[label] ?? [], wanted.shape.length === 4 ? g.channelsLast(wanted) : wanted.data);
    }
    return distances;
  }, taps);
  assert.ok(Object.keys(found).length >= 20);
  under(found, LIMITS.inner);
});

test('mini-sd15: images agree with diffusers, with and without LoRAs, at odd sizes too', async () => {
  under(await page.evaluate(() => agreement.images(engine)), LIMITS.latents);
});

test('the processor: networks and images agree with diffusers', async () => {
  const found = await page.evaluate(async () => {
    const processor = await g.engine();
    await processor.choose_device('cpu');
    await processor.open_model('mini-sd15', await g.miniModel());
    return { ...(await agreement.networks(processor)), images: await agreement.images(processor) };
  });
  under(found.text, LIMITS.text);
  under(found.unet, LIMITS.unet);
  under(found.vae, LIMITS.vae);
  under(found.images, LIMITS.latents);
});

test('a model that is opened while another is at work gets no LoRA read for that one, and stays open', async () => {
  const found = await page.evaluate(async () => {
    const demo = () => g.model('../some/sub/path/demo/model');
    const lora = await (await g.blob('../some/sub/path/demo/loras/ink_icon.safetensors')).arrayBuffer();
    // A file whose reads are delayed until released.
    let go = () => {};
    let waits = Promise.resolve();
    const read = async (start, end) => (await waits, new Uint8Array(lora.slice(start, end)));
    const place = { name: 'ink_icon.safetensors', size: lora.byteLength, read };
    const recipe = (sha256) => ({
      version: 1,
      model: 'demo',
      adapters: [{ name: 'ink_icon', sha256, strength: 1 }],
      prompt: 'a cat',
      negative: '',
      seed: 3,
      steps: 1,
      guidance: 5,
      sampler: 'ddim',
      width: 64,
      height: 64,
    });
    const alone = await g.engine();
    await alone.open_model('demo', await demo());
    const sha256 = 'ink_icon';
    alone.remember(sha256, place);
    const wanted = (await alone.probe_image(recipe(sha256))).applied;

    /** What the second model gets after `draw`, begun with the first model, has ended. */
    const after = async (draw) => {
      const one = await g.engine();
      await one.open_model('mini-sd15', await g.miniModel());
      one.remember(sha256, place);
      waits = new Promise((resolve) => (go = resolve));
      const first = draw(one).then(
        () => 'drawn',
        (error) => error.kind,
      );
      await one.open_model('demo', await demo());
      go();
      await first;
      return one.probe_image(recipe(sha256)).then(
        ({ applied }) => applied,
        (error) => error.message,
      );
    };
    const generate = (one) => one.generate(recipe(sha256), () => {}, undefined, undefined, false);
    const probe = (one) => one.probe_image(recipe(sha256));
    return { wanted, generated: await after(generate), probed: await after(probe) };
  });
  assert.ok(found.wanted[0].matched > 0 && found.wanted[0].leftovers === 0, JSON.stringify(found.wanted));
  assert.deepEqual(found.generated, found.wanted);
  assert.deepEqual(found.probed, found.wanted);
});

test('kernels are compiled in the background when a model is opened, and not again for its images', async () => {
  const found = await page.evaluate(async () => {
    const devices = GPUDevice.prototype;
    const { createComputePipeline: create, createComputePipelineAsync: compile } = devices;
    const made = { created: 0, compiled: 0 };
    devices.createComputePipeline = function (descriptor) {
      made.created += 1;
      return create.call(this, descriptor);
    };
    devices.createComputePipelineAsync = function (descriptor) {
      made.compiled += 1;
      return compile.call(this, descriptor);
    };
    try {
      const one = await g.engine();
      await one.open_model('mini-sd15', await g.miniModel());
      const opened = { ...made };
      // The model's native size, whose kernels are compiled before.
      const recipe = { ...g.IMAGE, width: 64, height: 64 };
      await one.probe_image(recipe);
      const drawn = { ...made };
      await one.probe_image({ ...recipe, seed: 4 });
      return { opened, drawn, again: { ...made } };
    } finally {
      Object.assign(devices, { createComputePipeline: create, createComputePipelineAsync: compile });
    }
  });
  assert.ok(found.drawn.compiled >= 8, `${found.drawn.compiled} kernels in the background`);
  assert.deepEqual(found.again, found.drawn, 'the second image needs no other kernels');
});

test('a UNet whose weights are read from the file in each call draws the same image', async () => {
  const found = await page.evaluate(async () => {
    const draw = async (weights) => {
      const one = await g.engine();
      one.choose_weights(weights, undefined);
      await one.open_model('mini-sd15', await g.miniModel());
      return Array.from((await one.probe_image(g.IMAGE)).latents);
    };
    return { resident: await draw('f16'), streamed: await draw('streamed') };
  });
  assert.ok(found.resident.length > 0);
  assert.deepEqual(found.streamed, found.resident);
});

test('a device that binds little draws the same image, its maps in strips of rows', async () => {
  const found = await page.evaluate(async () => {
    const recipe = { ...g.IMAGE, width: 96 };
    const whole = await engine.probe_image(recipe);
    const { limits } = Object.getOwnPropertyDescriptors(GPUAdapter.prototype);
    // Less than a feature map of 16 channels, more than the largest weight.
    const few = (adapter) =>
      new Proxy(limits.get.call(adapter), {
        get: (all, name) => (name === 'maxStorageBufferBindingSize' ? 120_000 : all[name]),
      });
    Object.defineProperty(GPUAdapter.prototype, 'limits', {
      configurable: true,
      get() {
        return few(this);
      },
    });
    try {
      const small = await g.engine();
      await small.open_model('mini-sd15', await g.miniModel());
      const strips = await small.probe_image(recipe);
      const { max_binding } = await small.gpu();
      return {
        max_binding,
        latents: g.relRms(strips.latents, whole.latents),
        image: g.relRms(strips.image, whole.image),
      };
    } finally {
      Object.defineProperty(GPUAdapter.prototype, 'limits', limits);
    }
  });
  assert.ok(found.max_binding < 96 * 64 * 16 * 4, `${found.max_binding} bytes are bound at once`);
  under({ latents: found.latents }, LIMITS.latents);
  under({ image: found.image }, LIMITS.vae);
});

test('a file that lies elsewhere is read by byte ranges', async () => {
  const report = await page.evaluate(async () => {
    const address = '/tests/golden/loras/mini-sd15/lora_a.safetensors';
    const { size } = await g.blob('golden/loras/mini-sd15/lora_a.safetensors');
    const read = async (start, end) => {
      const response = await fetch(address, { headers: { range: `bytes=${start}-${end - 1}` } });
      return new Uint8Array(await response.arrayBuffer());
    };
    return (await (await g.inspector()).inspect({ name: 'lora_a.safetensors', size, read })).report;
  });
  assert.equal(report.file, 'lora_a.safetensors');
  assert.equal(report.base.family, 'sd15');
  assert.ok(report.modules.length > 0);
});

test('nothing went wrong beside the tests', () => assert.deepEqual(errors, []));
