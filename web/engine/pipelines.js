/** Compute pipelines that the browser compiles in the background, several at once. wgpu creates them one by one. */

/**
 * Adds `beginPipelines` and `finishPipelines` to the global scope, between whose calls pipelines are not created but
 * compiled in the background. Creating one again returns the compiled one.
 */
export function compileInBackground() {
  const devices = globalThis.GPUDevice?.prototype;
  const { createComputePipeline: create, createComputePipelineAsync: compile } = devices ?? {};
  if (!create || !compile) return;
  /** @type {WeakMap<GPUShaderModule, Map<string, GPUComputePipeline>>} */
  const compiled = new WeakMap();
  /** @type {Promise<void>[] | undefined} */
  let compiling;

  /** @param {GPUComputePipelineDescriptor} descriptor */
  devices.createComputePipeline = function (descriptor) {
    const { module, constants } = descriptor.compute;
    const name = JSON.stringify(constants ?? {});
    const there = compiled.get(module)?.get(name);
    if (there) return there;
    if (!compiling) return create.call(this, descriptor);
    const keep = (/** @type {GPUComputePipeline} */ pipeline) => {
      const pipelines = compiled.get(module) ?? new Map();
      compiled.set(module, pipelines.set(name, pipeline));
    };
    // One that fails is created again, and then reports its error.
    compiling.push(compile.call(this, descriptor).then(keep, () => {}));
    // The engine drops it.
    return /** @type {GPUComputePipeline} */ ({ label: "" });
  };

  Object.assign(globalThis, {
    beginPipelines: () => {
      compiling = [];
    },
    finishPipelines: () => {
      const all = Promise.all(compiling ?? []);
      compiling = undefined;
      return all;
    },
  });
}
