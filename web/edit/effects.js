/**
 * The panel "Change this file" -> edits made by the engine: planned, written to the browser's disk space, saved, looked
 * at.
 */

import { asksForSomething, editOf, isQuick, newName } from "./state.js";
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

/** What makes edited files. */
export class Editing {
  #inspector;
  #jobs;
  #send;
  #getState;
  #show;
  #messages;
  /** The page's name among those that keep files; what has no lock held on it is cleared. */
  #session = crypto.randomUUID();
  /** The latest edit's job: answers to older ones are dropped. */
  #latest = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {{
   *   inspector: import("../engine/inspector.js").InspectorClient, jobs: import("../core/jobs.js").Jobs,
   *   send: import("../types.d.ts").Send, getState: () => import("../types.d.ts").State,
   *   messages: import("../app/messages.js").Messages,
   *   show: (id: string, file: File, select?: boolean) => void,
   * }} world `show` opens a file's report
   */
  constructor({ inspector, jobs, send, getState, messages, show }) {
    this.#inspector = inspector;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#show = show;
    this.#messages = messages;
    holdLock(this.#session);
  }

  /**
   * What the form asks for, as a job that takes the place of the last one.
   * @param {"preview" | "make"} kind @param {(asked: Asked) => Promise<Action>} work
   */
  #begin(kind, work) {
    clearTimeout(this.#timer);
    const { selected, look } = this.#getState();
    const { edit, others } = editOf(look.change);
    const places = [selected, ...others].flatMap((id) => keptOf(id) ?? []);
    const job = this.#jobs.start({
      ...{ lane: "edit", kind, name: entryById(this.#getState(), selected)?.name, key: "edit", same: "replace" },
      run: (signal, progress) => {
        const hear = (/** @type {{ done: number, total: number }} */ { done, total }) => {
          const share = done / Math.max(1, total);
          progress(share);
          tell({ type: "change/progress", done: share });
        };
        return onAbort(
          signal,
          () => this.#inspector.stopEdit(),
          () => work({ edit, places, hear }),
        );
      },
    });
    const tell = (/** @type {Action} */ action) => {
      if (this.#latest === job?.id && this.#getState().selected === selected) this.#send(action);
    };
    this.#latest = job?.id ?? 0;
    job?.done.then(tell, (thrown) =>
      tell(isCancelled(thrown) ? { type: "change/stopped" } : { type: "change/failed", error: asError(thrown) }),
    );
  }

  #plan() {
    this.#begin("preview", async ({ edit, places, hear }) => ({
      type: "change/planned",
      preview: await this.#inspector.previewEdit(edit, places, hear),
    }));
  }

  #make() {
    const { selected, look } = this.#getState();
    const name = newName(entryById(this.#getState(), selected)?.name ?? "lora", look.change);
    this.#begin("make", async ({ edit, places, hear }) => {
      const { edited, file } = await this.#inspector.applyEdit(edit, places, { name, session: this.#session }, hear);
      const [{ id }] = keepDropped([{ file }]);
      if (this.#getState().selected !== selected) this.#show(id, file, false); // the panel that would offer it is gone
      return {
        type: "change/made",
        preview: edited.preview,
        result: { id, name, size: file.size, thinned: edited.outcome.thinned.length, kept: edited.kept },
      };
    });
  }

  /** A cheap preview follows the form. */
  #follow() {
    clearTimeout(this.#timer);
    const { change } = this.#getState().look;
    if (!isQuick(change) || !asksForSomething(change)) return;
    this.#timer = setTimeout(() => this.#send({ type: "change/plan" }), 200);
  }

  /** @param {Action} action */
  act(action) {
    const { change } = this.#getState().look;
    switch (action.type) {
      case "change/opened":
        scrollTo("change");
        return this.#follow();
      case "change/edited":
        this.#jobs.cancelAll("edit");
        return this.#follow();
      case "change/plan":
        return this.#plan();
      case "change/make":
        return this.#make();
      case "change/stop":
        return this.#jobs.cancelAll("edit");
      case "change/save": {
        const file = change.result && fileOf(change.result.id);
        return file ? void this.#messages.saved(() => download(file.name, file)) : undefined;
      }
      case "change/look": {
        const file = change.result && fileOf(change.result.id);
        return file && change.result ? this.#show(change.result.id, file) : undefined;
      }
    }
  }
}
