/** The bundled demo: its list, its LoRAs, and the first look at it. */

import { fetchCatalogue, fetchLora } from "./files.js";
import { fileOf, keep, newEntry } from "../files/opened.js";
import { t } from "../words.js";
import { scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** What brings the demo. */
export class Demo {
  #send;
  #getState;
  #messages;
  #looking;
  #model;
  #runner;
  #devices;
  /** Settled once the demo is listed, or cannot be. @type {Promise<void>} */
  listed;

  /**
   * @param {{
   *   send: import("../types.d.ts").Send, getState: () => State, messages: import("../app/messages.js").Messages,
   *   looking: import("../inspect/effects.js").Looking, model: import("../generate/model.js").BaseModel,
   *   runner: import("../generate/run.js").Runner, devices: import("../device/effects.js").Devices,
   * }} world
   */
  constructor({ send, getState, messages, looking, model, runner, devices }) {
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
    this.#looking = looking;
    this.#model = model;
    this.#runner = runner;
    this.#devices = devices;
    this.listed = this.#listDemo();
  }

  /**
   * A demo LoRA as a read entry, downloaded when it is not there yet.
   * @param {string} id @param {boolean} select
   */
  async bringLora(id, select) {
    const lora = this.#getState().demo.catalogue?.loras.find(({ file }) => id === `demo:${file}`);
    if (!lora) return;
    const file = fileOf(id) ?? (await fetchLora(lora));
    keep(id, file);
    if (!this.#getState().files.some((entry) => entry.id === id))
      this.#send({ type: "files/added", entry: newEntry(id, file), select });
    else if (select) this.#send({ type: "files/select", id });
    if (this.#getState().files.find((entry) => entry.id === id)?.status !== "read") await this.#looking.read([id]);
  }

  /** The first demo LoRA's report, and the model made ready for its image. */
  async #tryDemo() {
    if (!this.#getState().demo.catalogue) await this.#listDemo();
    const { catalogue } = this.#getState().demo;
    if (!catalogue) return;
    const id = `demo:${catalogue.loras[0].file}`;
    this.#send({ type: "model/chosen", id: "demo" });
    try {
      if (this.#getState().files.some((entry) => entry.id === id)) this.#send({ type: "files/select", id });
      else await this.bringLora(id, true);
      await this.#devices.known;
      const { device, result } = this.#getState();
      if (device.status !== "ready") return;
      await this.#model.openAhead();
      // A graphics card generates it in a moment.
      if (device.info?.gpu && !device.info.gpu.software && !result) await this.#runner.generate();
    } catch (thrown) {
      // What is wrong with a model that was chosen meanwhile is told where that is opened.
      if (this.#getState().base.chosen === "demo") this.#messages.raise(t("error.demo"), thrown);
    }
  }

  /** @param {string} id */
  async #openDemoLora(id) {
    try {
      if (this.#getState().files.some((entry) => entry.id === id)) this.#send({ type: "files/select", id });
      else await this.bringLora(id, true);
      scrollTo("look");
    } catch (thrown) {
      this.#messages.raise(t("error.demo_lora"), thrown);
    }
  }

  async #listDemo() {
    try {
      this.#send({ type: "demo/listed", catalogue: await fetchCatalogue() });
    } catch (thrown) {
      this.#messages.raise(t("error.demo_list"), thrown);
    }
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "demo/open":
        return void this.#openDemoLora(action.id);
      case "demo/try":
        return void this.#tryDemo();
    }
  }
}
