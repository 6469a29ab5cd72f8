/**
 * The page's fragment -> what it asks for: an image's settings with its LoRAs, a report, or measurements. What is not
 * here is asked for by name.
 */

import { parsedLink } from "./link.js";
import { NOTHING_SAID, restored, unusableSentences } from "./restore.js";
import { t } from "../words.js";
import { focusOn, fragment, onFragment, scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("./schema.js").LinkedRecipe} LinkedRecipe */

/** Addresses of a link that may be asked for with one click. */
const MOST_ADDRESSES = 8;

/** What follows links. */
export class Links {
  #send;
  #getState;
  #listed;
  #bringLora;
  #messages;

  /**
   * @param {{
   *   send: import("../types.d.ts").Send, getState: () => State, listed: Promise<void>,
   *   bringLora: (id: string, select: boolean) => Promise<void>, messages: import("../app/messages.js").Messages,
   * }} world
   */
  constructor({ send, getState, listed, bringLora, messages }) {
    this.#send = send;
    this.#getState = getState;
    this.#listed = listed;
    this.#bringLora = bringLora;
    this.#messages = messages;
    onFragment(() => void this.open());
  }

  /** Whatever the fragment says, the page says something or shows it. */
  open() {
    return this.#follow().catch((thrown) => this.#messages.raise(t("link.unreadable"), thrown));
  }

  async #follow() {
    if (fragment() === "#bench") {
      this.#send({ type: "bench/shown" });
      return scrollTo("bench");
    }
    const link = parsedLink(fragment());
    if (!link) return;
    await this.#listed;
    if ("unknown" in link) {
      const message = t("link.version", { version: link.unknown.slice(1) });
      return this.#send({ type: "notice/raised", title: t("link.unreadable"), message });
    }
    if ("recipe" in link) return this.#takeRecipe(link);
    return this.#takeLook(link.look);
  }

  /**
   * The demo's LoRAs come from beside the page; the others must be here.
   * @param {{ recipe: LinkedRecipe, unusable: import("./schema.js").Unusable[] }} link
   */
  async #takeRecipe({ recipe, unusable }) {
    const demo = this.#getState().demo.catalogue?.loras ?? [];
    const wanted = recipe.adapters.filter(({ name }) => demo.some(({ file }) => file === name));
    for (const { name, sha256 } of wanted) {
      const here = this.#getState().files.some(({ report, id }) => report?.sha256 === sha256 || id === `demo:${name}`);
      if (!here) await this.#bringLora(`demo:${name}`, this.#getState().files.length === 0);
    }
    const problems = unusableSentences(unusable);
    const found = restored(
      this.#getState(),
      t("link.the_link"),
      { ...NOTHING_SAID, recipe, problems },
      t("link.by_itself"),
    );
    if (!found) return;
    this.#send({ type: "link/asked", asked: this.#askedBy(recipe) });
    this.#send({ type: "restored", ...found });
    const waits = found.remark.details.length > problems.length;
    if (waits) this.#send({ type: "link/pending", link: { recipe, unusable, edited: false } });
    scrollTo("run");
    if (!waits) focusOn("generate");
  }

  /** Where the LoRAs lie that are not here. @param {LinkedRecipe} recipe @returns {State["asked"]} */
  #askedBy({ adapters }) {
    const far = adapters.flatMap(({ name, sha256, address }) =>
      address && !this.#isHere(name, sha256) ? [address] : [],
    );
    return far.length ? { addresses: [...new Set(far)].slice(0, MOST_ADDRESSES), whole: true } : null;
  }

  /** @param {string} name @param {string} sha256 */
  #isHere(name, sha256) {
    return this.#getState().files.some(
      (entry) => entry.report && (sha256 ? entry.report.sha256 === sha256 : entry.name === name),
    );
  }

  /** Something came: perhaps what the link lacks. A person's own edits are not written over unasked. */
  #goOn() {
    const { link } = this.#getState();
    if (link && !link.edited) void this.#apply();
  }

  async #apply() {
    const { link } = this.#getState();
    if (link) await this.#takeRecipe(link).catch((thrown) => this.#messages.raise(t("link.unreadable"), thrown));
  }

  /** @param {import("./link.js").Look} look */
  async #takeLook({ name, sha256, address }) {
    if (address) return this.#send({ type: "link/asked", asked: { addresses: [address], whole: false } });
    if (this.#getState().demo.catalogue?.loras.some(({ file }) => file === name))
      return this.#bringLora(`demo:${name}`, true);
    this.#send({
      type: "notice/raised",
      title: t("link.about", { name }),
      message: t(sha256 ? "link.about_hash" : "link.about_says", { hash: sha256.slice(0, 12) }),
    });
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "files/read":
      case "model/added":
        return this.#goOn();
      case "link/apply":
        return void this.#apply();
    }
  }
}
