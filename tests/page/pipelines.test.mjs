/** Pipelines that are compiled in the background: created again, they are there. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileInBackground } from '../../web/engine/pipelines.js';

/** A device that says how each of its pipelines was made. */
class Device {
  made = /** @type {string[]} */ ([]);
  createComputePipeline({ compute }) {
    this.made.push(`created ${compute.constants.rows}`);
    return { rows: compute.constants.rows, module: compute.module };
  }
  async createComputePipelineAsync(descriptor) {
    const { constants, module } = descriptor.compute;
    this.made.push(`compiled ${constants.rows}`);
    if (constants.rows === 0) throw new Error('no rows');
    return { rows: constants.rows, module };
  }
}

const descriptor = (module, rows) => ({ compute: { module, constants: { rows } } });

test('pipelines are compiled in the background, and created at once if that failed or nobody asked for it', async () => {
  globalThis.GPUDevice = Device;
  compileInBackground();
  const { beginPipelines, finishPipelines } = globalThis;
  const device = new Device();
  const [matmul, conv2d] = [{}, {}];
  assert.equal(device.createComputePipeline(descriptor(matmul, 8)).rows, 8);
  beginPipelines();
  for (const rows of [0, 16, 32]) device.createComputePipeline(descriptor(matmul, rows));
  device.createComputePipeline(descriptor(conv2d, 16));
  const finished = finishPipelines();
  // Work that goes on while they are compiled gets usable ones.
  assert.equal(device.createComputePipeline(descriptor(matmul, 64)).rows, 64);
  await finished;
  const made = device.made.length;
  for (const module of [matmul, conv2d]) {
    const pipeline = device.createComputePipeline(descriptor(module, 16));
    assert.deepEqual([pipeline.rows, pipeline.module === module], [16, true]);
  }
  assert.equal(device.made.length, made, 'nothing is compiled twice');
  assert.equal(device.createComputePipeline(descriptor(matmul, 0)).rows, 0);
  assert.deepEqual(device.made, [
    'created 8',
    'compiled 0',
    'compiled 16',
    'compiled 32',
    'compiled 16',
    'created 64',
    'created 0',
  ]);
});
