/** The whole of LoRA Loupe: reports, edits and images. */

import { once } from "./wasm.js";

export { placeOf } from "./source.js";

const startInspector = once(() => import("./wasm/inspector.js"), "inspector");
const startEngine = once(() => import("./wasm/engine.js"), "engine");

/** What reads and edits files. @returns {Promise<import("./wasm/inspector.js").Inspector>} */
export async function inspector() {
  return new (await startInspector()).Inspector();
}

/** What generates images. @returns {Promise<import("./wasm/engine.js").Engine>} */
export async function engine() {
  return new (await startEngine()).Engine();
}
