/** Opens styles and wildcards. */

import { t } from "../words.js";
import { fillers, loadView } from "./lazy.js";

/** What opens and closes styles and wildcards. */
export class Templates {
  #engine;
  #send;
  #messages;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, send: import("../types.d.ts").Send,
   *   messages: import("../app/messages.js").Messages,
   * }} world
   */
  constructor({ engine, send, messages }) {
    this.#engine = engine;
    this.#send = send;
    this.#messages = messages;
  }

  /** @param {() => Promise<Partial<import("../types.d.ts").Templates>>} changed */
  async #change(changed) {
    try {
      this.#send({ type: "templates/changed", change: await changed() });
    } catch (thrown) {
      this.#messages.raise(t("error.not_opened"), thrown);
    }
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "templates/unfolded":
        return void this.#change(async () => (await loadView(), { unfolded: true }));
      case "templates/picked":
        return void this.#change(async () => (await fillers()).opened(action.files, this.#engine));
      case "templates/close":
        return void this.#change(async () => (await fillers()).closed());
    }
  }
}
