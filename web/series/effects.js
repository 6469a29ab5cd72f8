/** Training runs -> their numbers: found when files are opened, measured in the background, summarized as they come. */

import { asError, isCancelled } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { fileOf, keptOf, newEntry } from "../files/opened.js";
import { saveText } from "../gallery/save.js";
import { MOST_CELLS } from "../grid.js";
import { canRun, entryById } from "../select.js";
import { t } from "../words.js";
import { unfold } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../engine/types.d.ts").SeriesLayer} Layer */

/** Milliseconds between two summaries, and how many times as long as the last one: the worker could measure instead. */
const PAUSE = 4000;
const TIMES = 20;

/** What finds and measures training runs. */
export class TrainingRuns {
  #inspector;
  #readers;
  #jobs;
  #send;
  #getState;
  #messages;
  #readAll;
  /** Ids of the files among which runs were looked for last. */
  #searched = "";
  /** Layers of the run on show. @type {Layer[]} */
  #layers = [];

  /**
   * @param {{
   *   inspector: import("../engine/inspector.js").InspectorClient, readers: import("../engine/readers.js").Readers,
   *   jobs: import("../core/jobs.js").Jobs, send: import("../types.d.ts").Send,
   *   getState: () => import("../types.d.ts").State, messages: import("../app/messages.js").Messages,
   *   read: (ids: string[]) => Promise<void>,
   * }} world `read` reads files whole
   */
  constructor({ inspector, readers, jobs, send, getState, messages, read }) {
    this.#inspector = inspector;
    this.#readers = readers;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
    this.#readAll = read;
  }

  /** @param {{ id: string, path: string }[]} files */
  async #find(files) {
    const searched = files.map(({ id }) => id).join();
    if (files.length < 2 || searched === this.#searched) return;
    this.#searched = searched;
    const kept = files.flatMap(({ id, path }) => {
      const place = keptOf(id);
      return place ? [{ id, path, place }] : [];
    });
    try {
      const places = kept.map(({ place }) => place);
      const names = kept.map(({ path }) => path);
      const runs = await this.#inspector.findSeries(places, names);
      if (searched !== this.#searched) return;
      const before = this.#getState().series;
      const withIds = runs.map((run) => ({ ...run, ids: run.files.map(({ index }) => kept[index].id) }));
      if (!runs.length) this.#jobs.cancelAll("series");
      if (runs.length || before) this.#send({ type: "series/found", runs: withIds });
      if (this.#getState().series?.status === "waiting") this.#send({ type: "series/start" });
    } catch (thrown) {
      if (!isCancelled(thrown)) this.#messages.raise(t("error.series"), thrown);
    }
  }

  /** What the headers tell, which needs no numbers. */
  async #readHeaders() {
    const run = this.#run();
    const files = (run?.ids ?? []).flatMap((id) => fileOf(id) ?? []);
    if (!run || files.length < run.ids.length) return;
    const { lossesOf, metadataOf } = await import("./headers.js");
    const losses = lossesOf(await Promise.all(files.map(metadataOf)));
    if (losses.length && run === this.#run()) this.#send({ type: "series/losses", losses });
  }

  /** The run on show. */
  #run() {
    const { series } = this.#getState();
    return series?.runs[series.chosen];
  }

  /** Measures the run on show. */
  #measure() {
    const run = this.#run();
    if (!run) return;
    const places = run.ids.flatMap((id) => keptOf(id) ?? []);
    const job = this.#jobs.start({
      ...{ lane: "read", kind: "series", name: run.name, key: "series", same: "replace", yields: "resumes" },
      run: (signal, progress) =>
        onAbort(
          signal,
          () => this.#readers.stop(),
          () => this.#read(run, places, progress),
        ),
    });
    // The numbers come first: without the headers there is one chart less.
    job?.done.catch(() => {}).then(() => this.#readHeaders().catch(() => {}));
    job?.done.then(
      () => this.#send({ type: "series/read" }),
      (thrown) =>
        this.#send(
          isCancelled(thrown) ? { type: "series/stopped" } : { type: "series/failed", error: asError(thrown) },
        ),
    );
  }

  /**
   * @param {import("../types.d.ts").TrainingRun} run
   * @param {import("../engine/protocol.js").Place[]} places
   * @param {(done: number) => void} progress
   */
  async #read(run, places, progress) {
    /** @type {Layer[]} */
    const layers = [];
    this.#layers = layers;
    let [next, done] = [-Infinity, 0];
    const tell = async () => {
      const began = performance.now();
      next = Infinity;
      const summary = await this.#inspector.summarizeSeries(run.files, layers);
      const now = performance.now();
      next = now + Math.max(PAUSE, TIMES * (now - began));
      if (this.#layers === layers) this.#send({ type: "series/summarized", summary, done });
    };
    await this.#readers.series(places, (measured, share) => {
      layers.push(...measured);
      done = share;
      progress(done);
      if (performance.now() > next) tell().catch(() => {}); // the summary at the end tells what went wrong
    });
    await tell();
  }

  /** The files of the run that fit the model, as the axis of an X/Y plot. */
  async #draw() {
    const ids = this.#run()?.ids ?? [];
    for (const id of ids) {
      const file = fileOf(id);
      if (file && !entryById(this.#getState(), id))
        this.#send({ type: "files/added", entry: newEntry(id, file), select: false });
    }
    await this.#readAll(ids.filter((id) => entryById(this.#getState(), id)?.status !== "read"));
    const chosen = ids.filter((id) => canRun(this.#getState(), id)).slice(0, MOST_CELLS);
    if (!chosen.length) return this.#messages.raise(t("series.not_drawn"), { message: t("series.unfit") });
    this.#send({ type: "axis/changed", side: "x", change: { kind: "lora", text: "", chosen } });
    unfold("grid");
  }

  /** The numbers of all layers. */
  #save() {
    const { series } = this.#getState();
    const run = this.#run();
    if (!series || !run) return;
    const { ids, ...told } = run;
    const text = JSON.stringify({ series: told, summary: series.summary, layers: this.#layers }, null, 1);
    void this.#messages.saved(() => saveText(`${run.name || "run"}.series.json`, text, "application/json"));
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "folder/listed":
        return void this.#find(action.rows);
      case "files/header": {
        const { files, look } = this.#getState();
        return look.folder ? undefined : void this.#find(files.map(({ id, name }) => ({ id, path: name })));
      }
      case "folder/closed":
        this.#searched = "";
        return this.#jobs.cancelAll("series");
      case "series/chosen":
        return this.#send({ type: "series/start" });
      case "series/start":
        return this.#measure();
      case "series/stop":
        return this.#jobs.cancelAll("series");
      case "series/save":
        return this.#save();
      case "series/draw":
        return void this.#draw();
    }
  }
}
