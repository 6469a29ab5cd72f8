/** Checks that the test browser supports what the app needs: WebGPU and range requests. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { BLANK, launch } from './harness.mjs';

let app;
before(async () => (app = await launch()));
after(() => app?.close());

test('a compute shader runs and its result is read back', async () => {
  const { page, errors } = await app.open(BLANK);
  const doubled = await page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    if (!adapter) return 'no adapter';
    const device = await adapter.requestDevice();
    const code = `
      @group(0) @binding(0) var<storage, read_write> x: array<f32>;
      @compute @workgroup_size(4) fn main(@builtin(global_invocation_id) id: vec3u) {
        x[id.x] = 2.0 * x[id.x];
      }`;
    const compute = { module: device.createShaderModule({ code }) };
    const pipeline = await device.createComputePipelineAsync({ layout: 'auto', compute });
    const { STORAGE, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
    const buffer = device.createBuffer({ size: 32, usage: STORAGE | COPY_SRC | COPY_DST });
    const result = device.createBuffer({ size: 32, usage: MAP_READ | COPY_DST });
    device.queue.writeBuffer(buffer, 0, Float32Array.from([0, 1, 2, 3, -4, 0.5, 6, 7]));
    const entries = [{ binding: 0, resource: { buffer } }];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(2);
    pass.end();
    encoder.copyBufferToBuffer(buffer, 0, result, 0, 32);
    device.queue.submit([encoder.finish()]);
    await result.mapAsync(GPUMapMode.READ);
    return [...new Float32Array(result.getMappedRange())];
  });
  assert.deepEqual(doubled, [0, 2, 4, 6, -8, 1, 12, 14]);
  assert.deepEqual(errors, []);
});

test('the server gives whole files, byte ranges and nothing outside its folders', async () => {
  const { page } = await app.open(BLANK);
  const got = await page.evaluate(async () => {
    const get = async (path, range) => {
      const response = await fetch(path, range ? { headers: { range } } : {});
      return [response.status, await response.text()];
    };
    const path = '/tests/browser/harness.mjs';
    const [, whole] = await get(path);
    return {
      whole,
      ranges: [await get(path, 'bytes=0-1'), await get(path, 'bytes=-2'), await get(path, 'bytes=99999999-')],
      outside: await get('/tests/%2e%2e/package.json'),
    };
  });
  assert.match(got.whole, /^\/\*\*\n/);
  assert.deepEqual(got.ranges, [
    [206, '/*'],
    [206, '}\n'],
    [416, ''],
  ]);
  assert.equal(got.outside[0], 404);
});
