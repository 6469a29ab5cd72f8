/** A card of the LoRA on show, to share: one image or one page, made here, among the user's downloads. */

import { saveText } from "../gallery/save.js";
import { entryById } from "../select.js";
import { download } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */

/** What makes cards; their code comes with the first. */
export class Cards {
  #getState;
  #messages;

  /** @param {{ getState: () => State, messages: import("../app/messages.js").Messages }} world */
  constructor({ getState, messages }) {
    this.#getState = getState;
    this.#messages = messages;
  }

  /** @param {"png" | "html"} as */
  async #save(as) {
    const state = this.#getState();
    const report = entryById(state, state.selected)?.report;
    if (!report) return null;
    const { cardOf } = await import("./content.js");
    const card = cardOf(state, report, new Date().toISOString().slice(0, 10));
    const name = `${report.file.replace(/\.\w+$/, "")}.card`;
    if (as === "png") return download(`${name}.png`, await (await import("./image.js")).cardImage(card));
    return saveText(`${name}.html`, await (await import("./page.js")).cardPage(card), "text/html");
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    if (action.type === "card/save") void this.#messages.saved(() => this.#save(action.as));
  }
}
