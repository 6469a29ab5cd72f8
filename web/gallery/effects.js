/** Generated images -> saved and copied files, and their settings in the form again. */

import { imageFile, saveAnimation, saveDrawing, saveGrid, saveHistory } from "./save.js";
import { drawingOf } from "./state.js";
import { NOTHING_SAID, restored } from "../share/restore.js";
import { t } from "../words.js";
import { copyImage, scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** What saves, copies and restores images. */
export class Gallery {
  #engine;
  #jobs;
  #send;
  #getState;
  #messages;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
   *   send: import("../types.d.ts").Send, getState: () => State, messages: import("../app/messages.js").Messages,
   * }} world
   */
  constructor({ engine, jobs, send, getState, messages }) {
    this.#engine = engine;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
  }

  /** An image's settings, back in the form. @param {number} id */
  #useSettings(id) {
    const drawing = drawingOf(this.#getState(), id);
    const found =
      drawing &&
      restored(
        this.#getState(),
        t("restore.image"),
        { ...NOTHING_SAID, recipe: drawing.recipe },
        t("restore.choose_again"),
      );
    if (found) this.#send({ type: "restored", ...found });
    scrollTo("run");
  }

  /** @param {import("./save.js").Drawing} drawing */
  async #enlarge(drawing) {
    const { enlarge } = await import("./enlarge.js");
    return enlarge({ engine: this.#engine, jobs: this.#jobs, getState: this.#getState }, drawing);
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "history/use":
        return this.#useSettings(action.id);
      case "history/save":
        return void this.#messages.saved(() => saveHistory(this.#getState().history));
      case "image/save":
        return void this.#messages.saved(() => saveDrawing(action.drawing));
      case "image/copy":
        return void this.#messages.copy(() => copyImage(imageFile(action.drawing)), t("tools.the_image"));
      case "image/enlarge":
        return void this.#messages.saved(() => this.#enlarge(action.drawing), t("error.not_enlarged"));
      case "grid/download":
        return void this.#messages.saved(() => saveGrid(this.#getState().grid));
      case "grid/animate":
        return void this.#messages.saved(() => saveAnimation(this.#getState().grid));
    }
  }
}
