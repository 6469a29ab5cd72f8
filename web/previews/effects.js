/** Previews of a folder's LoRAs: their code comes when they are first wanted, or were left by an earlier visit. */

import { scoped } from "../core/scope.js";
import { t } from "../words.js";
import { keep, kept } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */

/** Where it says that an earlier visit left previews. */
const LEFT = scoped("loupe-previews");

/** What hears of wishes for previews. */
export class Previews {
  #world;
  /** @type {Promise<import("./maker.js").PreviewMaker> | null} */
  #maker = null;

  /** @param {import("./maker.js").World} world */
  constructor(world) {
    this.#world = world;
    if (kept(LEFT)) void this.#brought().then((maker) => maker?.offer());
  }

  /** What makes them, once its code is there. */
  async #brought() {
    this.#maker ??= import("./maker.js").then(
      ({ PreviewMaker }) => new PreviewMaker(this.#world, (left) => keep(LEFT, left ? "left" : "")),
    );
    try {
      return await this.#maker;
    } catch {
      this.#maker = null;
      this.#world.messages.raise(t("error.part"), { message: t("app.stale_says") });
      return null;
    }
  }

  /** @param {Action} action */
  act(action) {
    const heard = /^(previews|folder)\/|^session\/forget$/.test(action.type);
    const wished = action.type === "previews/open";
    if (heard && (wished || this.#maker)) void this.#brought().then((maker) => maker?.act(action));
  }
}
