/** Opens the chosen device, and measures what the form's images take on a processor. */

import { asError } from "../core/errors.js";
import { debounced } from "../core/debounced.js";
import { deviceOf, modelKey, plainRecipe, seeded } from "../recipe.js";

/** @typedef {import("../types.d.ts").State} State */

/** What opens the device. */
export class Devices {
  #client;
  #send;
  #getState;
  #estimateSoon = debounced(200, () => void this.#estimate());
  /** Settled once the page knows where images are computed. @type {Promise<void>} */
  known;

  /**
   * @param {{
   *   client: import("../engine/client.js").EngineClient, send: import("../types.d.ts").Send, getState: () => State,
   * }} world
   */
  constructor({ client, send, getState }) {
    this.#client = client;
    this.#send = send;
    this.#getState = getState;
    this.known = this.#choose();
  }

  async #choose() {
    const { choice } = this.#getState().device;
    const isLast = () => this.#getState().device.choice === choice;
    try {
      const info = await this.#client.chooseDevice(choice);
      if (isLast()) this.#send({ type: "device/known", info });
    } catch (thrown) {
      if (isLast()) this.#send({ type: "device/failed", error: asError(thrown) });
    }
  }

  async #estimate() {
    const state = this.#getState();
    if (deviceOf(state) !== "cpu" || !state.base.info || this.#client.model !== modelKey(state)) return;
    const seconds = await this.#client.estimate(plainRecipe(seeded(state, 0))).catch(() => undefined);
    this.#send({ type: "device/estimated", seconds: seconds ?? null });
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "device/chosen":
        this.known = this.#choose();
        return;
      case "model/ready":
      case "form/changed":
      case "restored":
        this.#estimateSoon();
    }
  }
}
