/**
 * The page's fragment -> what it asks for: an image's settings with its LoRAs, a report, or measurements. What is not
 * here is asked for by name.
 */

import { parsedLink } from "./link.js";
import { NOTHING_SAID, restored, unusableSentences } from "./restore.js";
import { t } from "../words.js";
import { fragment, onFragment } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("./schema.js").LinkedRecipe} LinkedRecipe */

/** Addresses of a link that may be asked for with one click. */
const MOST_ADDRESSES = 8;

/**
 * @param {{
 *   send: import("../types.d.ts").Send, getState: () => State, listed: Promise<void>,
 *   bringLora: (id: string, select: boolean) => Promise<void>, show: (id: string) => void, focus: (id: string) => void,
 *   raise: (title: string, thrown: unknown) => void,
 * }} world
 */
export function createLinks({ send, getState, listed, bringLora, show, focus, raise }) {
  /** Whatever the fragment says, the page says something or shows it. */
  function open() {
    return follow().catch((thrown) => raise(t("link.unreadable"), thrown));
  }

  async function follow() {
    if (fragment() === "#bench") {
      send({ type: "bench/shown" });
      return show("bench");
    }
    const link = parsedLink(fragment());
    if (!link) return;
    await listed;
    if ("unknown" in link) {
      const message = t("link.version", { version: link.unknown.slice(1) });
      return send({ type: "notice/raised", title: t("link.unreadable"), message });
    }
    if ("recipe" in link) return takeRecipe(link);
    return takeLook(link.look);
  }

  /**
   * The demo's LoRAs come from beside the page; the others must be here.
   * @param {{ recipe: LinkedRecipe, unusable: import("./schema.js").Unusable[] }} link
   */
  async function takeRecipe({ recipe, unusable }) {
    const demo = getState().demo.catalogue?.loras ?? [];
    const wanted = recipe.adapters.filter(({ name }) => demo.some(({ file }) => file === name));
    for (const { name, sha256 } of wanted) {
      const here = getState().files.some(({ report, id }) => report?.sha256 === sha256 || id === `demo:${name}`);
      if (!here) await bringLora(`demo:${name}`, getState().files.length === 0);
    }
    const problems = unusableSentences(unusable);
    const found = restored(getState(), t("link.the_link"), { ...NOTHING_SAID, recipe, problems }, t("link.by_itself"));
    if (!found) return;
    send({ type: "link/asked", asked: askedBy(recipe) });
    send({ type: "restored", ...found });
    const waits = found.remark.details.length > problems.length;
    if (waits) send({ type: "link/pending", link: { recipe, unusable, edited: false } });
    show("run");
    if (!waits) focus("generate");
  }

  /** Where the LoRAs lie that are not here. @param {LinkedRecipe} recipe @returns {State["asked"]} */
  function askedBy({ adapters }) {
    const far = adapters.flatMap(({ name, sha256, address }) => (address && !isHere(name, sha256) ? [address] : []));
    return far.length ? { addresses: [...new Set(far)].slice(0, MOST_ADDRESSES), whole: true } : null;
  }

  /** @param {string} name @param {string} sha256 */
  function isHere(name, sha256) {
    return getState().files.some(
      (entry) => entry.report && (sha256 ? entry.report.sha256 === sha256 : entry.name === name),
    );
  }

  /** Something came: perhaps what the link lacks. A person's own edits are not written over unasked. */
  function goOn() {
    const { link } = getState();
    if (link && !link.edited) void apply();
  }

  async function apply() {
    const { link } = getState();
    if (link) await takeRecipe(link).catch((thrown) => raise(t("link.unreadable"), thrown));
  }

  /** @param {import("./link.js").Look} look */
  async function takeLook({ name, sha256, address }) {
    if (address) return send({ type: "link/asked", asked: { addresses: [address], whole: false } });
    if (getState().demo.catalogue?.loras.some(({ file }) => file === name)) return bringLora(`demo:${name}`, true);
    send({
      type: "notice/raised",
      title: t("link.about", { name }),
      message: t(sha256 ? "link.about_hash" : "link.about_says", { hash: sha256.slice(0, 12) }),
    });
  }

  onFragment(() => void open());
  return { open, goOn, apply };
}
