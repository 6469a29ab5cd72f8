/** The panel "Change this file" -> edits made by the engine: planned, written to the browser's disk space, saved, looked at. */

import { QUICK, asksForSomething, editOf, newName } from "./change.js";
import { asError } from "./engine/protocol.js";
import { fileOf, keepDropped, keptOf } from "./library.js";
import { saveBlob } from "./save.js";
import { entryById } from "./select.js";

/**
 * @param {{
 *   client: import("./engine/client.js").EngineClient, send: import("./types.d.ts").Send, getState: () => import("./types.d.ts").State,
 *   show: (id: string, file: File) => void,
 * }} world `show` opens a file's report
 */
export function createChanging({ client, send, getState, show }) {
  /** The page's name among those that keep files; what has no lock held on it is cleared. */
  const session = crypto.randomUUID();
  void navigator.locks?.request(session, () => new Promise(() => {}));
  /** Which edit is the latest: answers to older ones are dropped. */
  let turn = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /** The edit, its files, and what to do with its answer while nothing else was asked. */
  function asked() {
    const { selected, look } = getState();
    const own = ++turn;
    const { edit, others } = editOf(look.change);
    const places = [selected, ...others].flatMap((id) => keptOf(id) ?? []);
    const answer = (/** @type {import("./types.d.ts").Action} */ action) => {
      if (own === turn && getState().selected === selected) send(action);
    };
    const hear = (/** @type {{ done: number, total: number }} */ { done, total }) => answer({ type: "change/progress", done: done / Math.max(1, total) });
    const fail = (/** @type {unknown} */ thrown) => {
      const error = asError(thrown);
      answer(error.kind === "cancelled" ? { type: "change/stopped" } : { type: "change/failed", error });
    };
    return { edit, places, answer, hear, fail };
  }

  async function plan() {
    const { edit, places, answer, hear, fail } = asked();
    try {
      answer({ type: "change/planned", preview: await client.previewEdit(edit, places, hear) });
    } catch (thrown) {
      fail(thrown);
    }
  }

  async function make() {
    clearTimeout(timer);
    const { selected, look } = getState();
    const name = newName(entryById(getState(), selected)?.name ?? "lora", look.change);
    const { edit, places, answer, hear, fail } = asked();
    try {
      const { edited, file } = await client.applyEdit(edit, places, { name, session }, hear);
      const [{ id }] = keepDropped([{ file }]);
      answer({ type: "change/made", preview: edited.preview, result: { id, name, size: file.size, thinned: edited.outcome.thinned.length } });
    } catch (thrown) {
      fail(thrown);
    }
  }

  /** A cheap preview follows the form. */
  function follow() {
    clearTimeout(timer);
    const { change } = getState().look;
    if (!QUICK.includes(change.kind) || !asksForSomething(change)) return;
    timer = setTimeout(() => send({ type: "change/plan" }), 200);
  }

  /** @param {import("./types.d.ts").Action} action */
  return function act(action) {
    const { change } = getState().look;
    switch (action.type) {
      case "change/opened":
        requestAnimationFrame(() => document.getElementById("change")?.scrollIntoView({ block: "start" }));
        return follow();
      case "change/edited":
        void client.stopEdit();
        return follow();
      case "change/plan":
        return void plan();
      case "change/make":
        return void make();
      case "change/stop":
        return void client.stopEdit();
      case "change/saved": {
        const file = change.result && fileOf(change.result.id);
        return file ? saveBlob(file.name, file) : undefined;
      }
      case "change/looked": {
        const file = change.result && fileOf(change.result.id);
        return file && change.result ? show(change.result.id, file) : undefined;
      }
    }
  };
}
