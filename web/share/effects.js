/** The page's fragment -> what it asks for: an image's settings with its LoRAs, a report, or measurements. What is not here is asked for by name. */

import { parsedLink } from "./link.js";
import { NOTHING_SAID, restored } from "../restore.js";
import { t } from "../words.js";
import { fragment, onFragment } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */

/**
 * @param {{
 *   send: import("../types.d.ts").Send, getState: () => State, listed: Promise<void>,
 *   bringLora: (id: string, select: boolean) => Promise<void>, generate: () => Promise<void>, show: (id: string) => void,
 * }} world
 */
export function createLinks({ send, getState, listed, bringLora, generate, show }) {
  async function open() {
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
    if ("recipe" in link) return takeRecipe(link.recipe);
    return takeLook(link.look);
  }

  /** The demo's LoRAs come from beside the page; the others must be here. @param {import("./link.js").LinkedRecipe} recipe */
  async function takeRecipe(recipe) {
    const demo = getState().demo.catalogue?.loras ?? [];
    const wanted = recipe.adapters.filter(({ name }) => demo.some(({ file }) => file === name));
    for (const { name, sha256 } of wanted) {
      const here = getState().files.some(({ report, id }) => report?.sha256 === sha256 || id === `demo:${name}`);
      if (!here) await bringLora(`demo:${name}`, getState().files.length === 0);
    }
    const found = restored(getState(), t("link.the_link"), { ...NOTHING_SAID, recipe }, t("link.by_itself"));
    if (!found) return;
    const far = recipe.adapters.flatMap(({ name, sha256, address }) => (address && !isHere(name, sha256) ? [address] : []));
    send({ type: "link/asked", asked: far.length ? { addresses: far, whole: true } : null });
    const complete = found.remark.details.length === 0;
    send({ type: "link/changed", recipe: complete ? null : recipe });
    send({ type: "restored", ...found });
    show("run");
    if (complete && getState().gpu.status !== "missing") await generate();
  }

  /** @param {string} name @param {string} sha256 */
  function isHere(name, sha256) {
    return getState().files.some((entry) => entry.report && (sha256 ? entry.report.sha256 === sha256 : entry.name === name));
  }

  /** Something came: perhaps what the link lacks. */
  function goOn() {
    const { link } = getState();
    if (link) void takeRecipe(link);
  }

  /** @param {import("./link.js").Look} look */
  async function takeLook({ name, sha256, address }) {
    if (address) return send({ type: "link/asked", asked: { addresses: [address], whole: false } });
    if (getState().demo.catalogue?.loras.some(({ file }) => file === name)) return bringLora(`demo:${name}`, true);
    send({ type: "notice/raised", title: t("link.about", { name }), message: t(sha256 ? "link.about_hash" : "link.about_says", { hash: sha256.slice(0, 12) }) });
  }

  onFragment(() => void open());
  return { open, goOn };
}
