/** Opens the chosen device, and measures what the form's images take on a processor. */

import { asError } from "../core/errors.js";
import { debounced } from "../core/debounced.js";
import { PROCESSOR_MEMORY, cardMemory, memoryOfTwoWorkers } from "./memory.js";
import { deviceOf, modelKey, plainRecipe, seeded } from "../recipe.js";
import { t } from "../words.js";
import { cores, gigabytes, graphicsCard } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */

/** @param {string | null} reason @returns {import("../types.d.ts").DeviceInfo} */
const onProcessor = (reason) => ({
  ...{ gpu: null, reason, memory: PROCESSOR_MEMORY },
  memoryOfTwo: memoryOfTwoWorkers({ cores: cores(), gigabytes: gigabytes() }),
});

/** @param {GPUAdapter} card */
function memoryOf({ info: { vendor, architecture }, limits: { maxBufferSize } }) {
  return cardMemory({ vendor, architecture, maxBufferSize, gigabytes: gigabytes() });
}

/** What opens the device. */
export class Devices {
  #engine;
  #send;
  #getState;
  #estimateSoon = debounced(200, () => void this.#estimate());
  /** Settled once the page knows where images are computed. @type {Promise<void>} */
  known;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, send: import("../types.d.ts").Send, getState: () => State,
   * }} world
   */
  constructor({ engine, send, getState }) {
    this.#engine = engine;
    this.#send = send;
    this.#getState = getState;
    this.known = this.#choose();
  }

  async #choose() {
    const { choice } = this.#getState().device;
    const isLast = () => this.#getState().device.choice === choice;
    try {
      const info = await this.#found(choice);
      if (isLast()) this.#send({ type: "device/known", info });
    } catch (thrown) {
      if (isLast()) this.#send({ type: "device/failed", error: asError(thrown) });
    }
  }

  /**
   * The device of a choice. The engine is not asked before it is needed: it need not be there yet.
   * @param {import("../engine/protocol.js").DeviceChoice} choice
   * @returns {Promise<import("../types.d.ts").DeviceInfo>}
   */
  async #found(choice) {
    if (choice === "cpu") return onProcessor(null);
    const card = await graphicsCard().catch((thrown) => asError(thrown).message);
    const has = card && typeof card !== "string" ? memoryOf(card) : PROCESSOR_MEMORY;
    if (choice === "gpu") return { gpu: await this.#engine.gpu(), reason: null, memory: has };
    if (!card || typeof card === "string") return onProcessor(card ?? t("device.none"));
    const { vendor, architecture, description } = card.info;
    const adapter = description || [vendor, architecture].filter(Boolean).join(" ") || t("device.unnamed");
    const software = Boolean(card.info.isFallbackAdapter ?? /** @type {any} */ (card).isFallbackAdapter);
    return software ? onProcessor(adapter) : { gpu: { adapter, software }, reason: null, memory: has };
  }

  /**
   * Goes over to the processor if the graphics card cannot be opened after all, unless it was chosen.
   * @param {unknown} thrown by the engine
   * @returns whether it did
   */
  fallsBack(thrown) {
    const { kind, message } = asError(thrown);
    const { choice, info } = this.#getState().device;
    if (kind !== "no_webgpu" || choice !== "auto" || !info?.gpu) return false;
    this.#send({ type: "device/known", info: onProcessor(message) });
    return true;
  }

  async #estimate() {
    const state = this.#getState();
    if (deviceOf(state) !== "cpu" || !state.base.info || this.#engine.model !== modelKey(state)) return;
    const seconds = await this.#engine.estimate(plainRecipe(seeded(state, 0))).catch(() => undefined);
    this.#send({ type: "device/estimated", seconds: seconds ?? null });
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "device/chosen":
        this.known = this.#choose();
        return;
      case "model/ready":
      case "run/done":
      case "form/changed":
      case "restored":
        this.#estimateSoon();
    }
  }
}
