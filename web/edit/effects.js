/**
 * The panel "Change this file" -> edits made by the engine: planned, written to the browser's disk space, saved, looked
 * at.
 */

import { QUICK, asksForSomething, editOf, newName } from "./state.js";
import { asError, isCancelled } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { fileOf, keepDropped, keptOf } from "../files/opened.js";
import { entryById } from "../select.js";
import { download, holdLock, scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */
/**
 * @typedef {{ edit: import("../engine/types.d.ts").Edit, places: import("../engine/protocol.js").Place[], hear:
 * (progress: { done: number, total: number }) => void }} Asked
 */

/**
 * @param {{
 *   client: import("../engine/client.js").EngineClient, jobs: import("../core/jobs.js").Jobs,
 *   send: import("../types.d.ts").Send, getState: () => import("../types.d.ts").State,
 *   show: (id: string, file: File, select?: boolean) => void, saved: (save: () => string) => void,
 * }} world `show` opens a file's report
 */
export function createChanging({ client, jobs, send, getState, show, saved }) {
  /** The page's name among those that keep files; what has no lock held on it is cleared. */
  const session = crypto.randomUUID();
  holdLock(session);
  /** The latest edit's job: answers to older ones are dropped. */
  let latest = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  /**
   * What the form asks for, as a job that takes the place of the last one.
   * @param {"preview" | "make"} kind @param {(asked: Asked) => Promise<Action>} work
   */
  function begin(kind, work) {
    clearTimeout(timer);
    const { selected, look } = getState();
    const { edit, others } = editOf(look.change);
    const places = [selected, ...others].flatMap((id) => keptOf(id) ?? []);
    const job = jobs.start({
      ...{ lane: "edit", kind, name: entryById(getState(), selected)?.name, key: "edit", same: "replace" },
      run: (signal, progress) => {
        const hear = (/** @type {{ done: number, total: number }} */ { done, total }) => {
          const share = done / Math.max(1, total);
          progress(share);
          tell({ type: "change/progress", done: share });
        };
        return onAbort(
          signal,
          () => client.stopEdit(),
          () => work({ edit, places, hear }),
        );
      },
    });
    const tell = (/** @type {Action} */ action) => {
      if (latest === job?.id && getState().selected === selected) send(action);
    };
    latest = job?.id ?? 0;
    job?.done.then(tell, (thrown) =>
      tell(isCancelled(thrown) ? { type: "change/stopped" } : { type: "change/failed", error: asError(thrown) }),
    );
  }

  function plan() {
    begin("preview", async ({ edit, places, hear }) => ({
      type: "change/planned",
      preview: await client.previewEdit(edit, places, hear),
    }));
  }

  function make() {
    const { selected, look } = getState();
    const name = newName(entryById(getState(), selected)?.name ?? "lora", look.change);
    begin("make", async ({ edit, places, hear }) => {
      const { edited, file } = await client.applyEdit(edit, places, { name, session }, hear);
      const [{ id }] = keepDropped([{ file }]);
      if (getState().selected !== selected) show(id, file, false); // the panel that would offer it is gone
      return {
        type: "change/made",
        preview: edited.preview,
        result: { id, name, size: file.size, thinned: edited.outcome.thinned.length },
      };
    });
  }

  /** A cheap preview follows the form. */
  function follow() {
    clearTimeout(timer);
    const { change } = getState().look;
    if (!QUICK.includes(change.kind) || !asksForSomething(change)) return;
    timer = setTimeout(() => send({ type: "change/plan" }), 200);
  }

  /** @param {Action} action */
  return function act(action) {
    const { change } = getState().look;
    switch (action.type) {
      case "change/opened":
        scrollTo("change");
        return follow();
      case "change/edited":
        jobs.cancelAll("edit");
        return follow();
      case "change/plan":
        return plan();
      case "change/make":
        return make();
      case "change/stop":
        return jobs.cancelAll("edit");
      case "change/save": {
        const file = change.result && fileOf(change.result.id);
        return file ? saved(() => download(file.name, file)) : undefined;
      }
      case "change/look": {
        const file = change.result && fileOf(change.result.id);
        return file && change.result ? show(change.result.id, file) : undefined;
      }
    }
  };
}
