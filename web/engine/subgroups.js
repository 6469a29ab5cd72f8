/** Requests for a WebGPU device -> ones that ask for subgroups too, where the adapter has them. wgpu does not ask. */

/** Says to the engine, as `deviceHasSubgroups` of the global scope, what came of it. */
export function askForSubgroups() {
  const adapters = globalThis.GPUAdapter?.prototype;
  if (!adapters) return;
  const request = adapters.requestDevice;
  /** @param {GPUDeviceDescriptor} [descriptor] */
  adapters.requestDevice = async function (descriptor = {}) {
    const feature = /** @type {GPUFeatureName} */ ("subgroups");
    const has = this.features.has(feature);
    const requiredFeatures = [...(descriptor.requiredFeatures ?? []), ...(has ? [feature] : [])];
    const device = await request.call(this, { ...descriptor, requiredFeatures });
    Object.assign(globalThis, { deviceHasSubgroups: device.features.has(feature) });
    return device;
  };
}
