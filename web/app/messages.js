/** What was copied, saved or went wrong -> a message about it. */

import { asError, isCancelled } from "../core/errors.js";
import { t } from "../words.js";
import { copyText } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** Milliseconds that a toast stays. */
const TOAST = 4000;

/** What says how things went. */
export class Messages {
  #send;
  #getState;

  /**
   * @param {{
   *   send: import("../types.d.ts").Send, getState: () => State,
   * }} world
   */
  constructor({ send, getState }) {
    this.#send = send;
    this.#getState = getState;
  }

  /** @param {string} title @param {unknown} thrown */
  raise(title, thrown) {
    if (isCancelled(thrown)) return; // whoever cancelled it knows
    this.#send({ type: "notice/raised", title, message: asError(thrown).message });
  }

  /**
   * Says that a file was saved, or why not.
   * @param {() => string | null | undefined | Promise<string | null | undefined>} save gives its name, if there is
   * something to save
   * @param {string} otherwise title of the message if it fails
   */
  async saved(save, otherwise = t("error.not_saved")) {
    try {
      const name = await save();
      if (name) this.#send({ type: "file/saved", name });
    } catch (thrown) {
      this.raise(otherwise, thrown);
    }
  }

  /** @param {() => Promise<void>} write @param {string} what */
  async copy(write, what) {
    try {
      await write();
      this.#send({ type: "text/copied", what });
    } catch (thrown) {
      this.raise(t("error.not_copied", { what }), thrown);
    }
  }

  /** @param {number} id of a toast */
  #expire(id) {
    setTimeout(() => this.#send({ type: "toast/expired", id }), TOAST);
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "text/copy":
        return void this.copy(() => copyText(action.text), action.what);
      case "text/copied":
      case "file/saved":
        return this.#expire(this.#getState().toasts.at(-1)?.id ?? 0);
    }
  }
}
