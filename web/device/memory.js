/** The memory that a device is likely to have for images. Pure. */

/** @typedef {import("../types.d.ts").DeviceMemory} DeviceMemory */

const GIB = 2 ** 30;

/** What a page can address on a processor, without what the engine and images take themselves. */
const ON_PROCESSOR = 3.75 * GIB;
/** What graphics cards are taken to have: most people's have 6 to 12 GB. */
const USUAL_CARD = 6 * GIB;
/** What is assumed of a graphics processor that shares the computer's memory, of which the browser says nothing. */
const USUAL_SHARED = 4 * GIB;

/** Makers whose graphics processors share the computer's memory; Intel's cards are told by their architecture. */
const SHARING = ["apple", "arm", "broadcom", "img-tec", "intel", "qualcomm", "samsung"];
const INTEL_CARD = /hpg?$/;

/** @type {DeviceMemory} */
export const PROCESSOR_MEMORY = { bytes: ON_PROCESSOR, from: "page" };

/**
 * WebGPU does not tell the memory of a graphics card. One that shares the computer's memory gets half of it, as far as
 * the browser says how much that is; what is bound as one buffer is there in any case.
 * @param {{ vendor: string, architecture: string, maxBufferSize: number, gigabytes?: number }} card
 * `gigabytes`: of the computer, as the browser rounds it
 * @returns {DeviceMemory}
 */
export function cardMemory({ vendor, architecture, maxBufferSize, gigabytes }) {
  const isShared = SHARING.includes(vendor) && !(vendor === "intel" && INTEL_CARD.test(architecture));
  if (isShared && gigabytes) return { bytes: Math.max((gigabytes * GIB) / 2, maxBufferSize), from: "computer" };
  return { bytes: Math.max(isShared ? USUAL_SHARED : USUAL_CARD, maxBufferSize), from: "nothing" };
}

/**
 * What two workers may take of a computer's memory: half of it; nothing where the second one would have no core.
 * @param {{ cores: number, gigabytes?: number }} computer
 * @returns {number | undefined}
 */
export function memoryOfTwoWorkers({ cores, gigabytes }) {
  if (cores < 2) return undefined;
  return gigabytes ? (gigabytes * GIB) / 2 : USUAL_SHARED;
}
