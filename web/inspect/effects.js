/**
 * The Look act's actions -> calls of the engine and downloads: files read header first, folders, addresses, logs,
 * comparisons.
 */

import { fileAddress } from "../remote/address.js";
import { Editing } from "../edit/effects.js";
import { asError, isCancelled } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { folderCsv, folderJson } from "../files/folder.js";
import { keepRemote, keptOf, newEntry } from "../files/opened.js";
import { reportHtml, reportMarkdown } from "./export.js";
import { saveText } from "../gallery/save.js";
import { entryById, weighableBy } from "../select.js";
import { t } from "../words.js";
import { scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../types.d.ts").State} State */

/** What reads, lists, compares and weighs files. */
export class Looking {
  #inspector;
  #readers;
  #jobs;
  #reach;
  #send;
  #getState;
  #messages;
  #modelFiles;
  #world;
  #editing;
  /** Counts up: the file that was asked for last is read first. */
  #turn = 0;

  /**
   * @param {{
   *   inspector: import("../engine/inspector.js").InspectorClient, readers: import("../engine/readers.js").Readers,
   *   jobs: import("../core/jobs.js").Jobs,
   *   reach: import("../remote/address.js").Reach, send: import("../types.d.ts").Send, getState: () => State,
   *   messages: import("../app/messages.js").Messages,
   *   engine: import("../engine/engine.js").EngineClient,
   *   model: Pick<import("../generate/model.js").BaseModel, "files" | "open">,
   * }} world
   */
  constructor({ inspector, readers, jobs, reach, send, getState, messages, engine, model }) {
    this.#inspector = inspector;
    this.#readers = readers;
    this.#jobs = jobs;
    this.#reach = reach;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
    this.#modelFiles = () => model.files();
    this.#world = { engine, jobs, model };
    this.#editing = new Editing({
      ...{ inspector, jobs, send, getState, messages },
      show: (id, file, select) => this.#show(id, file, select),
    });
  }

  /**
   * Reads files: what the headers say at once, then the numbers, these files' before all others.
   * @param {string[]} ids
   */
  async read(ids) {
    const latestFirst = ids.toReversed();
    const headers = (async () => {
      for (const id of latestFirst) await this.#readHeader(id);
    })();
    const priority = ++this.#turn;
    const all = latestFirst.map(async (id) => {
      const job = this.#jobs.start({
        ...{
          lane: "read",
          kind: "read",
          name: entryById(this.#getState(), id)?.name,
          key: `read:${id}`,
          same: "join",
          priority,
          yields: "resumes",
        },
        run: async (signal, progress) => {
          await headers;
          await this.#readNumbers(id, signal, progress);
        },
      });
      await job?.done.catch((thrown) => {
        if (!isCancelled(thrown)) throw thrown;
        this.#send({ type: "files/waiting", id });
      });
    });
    await Promise.all(all);
  }

  /** @param {string} id */
  async #readHeader(id) {
    const place = keptOf(id);
    if (!place) return;
    try {
      this.#send({ type: "files/header", id, report: await this.#inspector.header(place) });
    } catch {
      // What is wrong is said when the whole file is read.
    }
  }

  /**
   * A paused reading rejects, and begins anew when its turn comes again.
   * @param {string} id
   * @param {AbortSignal} signal
   * @param {(done: number) => void} progress
   */
  async #readNumbers(id, signal, progress) {
    const place = keptOf(id);
    if (!place) return;
    const started = performance.now();
    const read = () =>
      this.#readers.inspect(place, ({ done, rows }) => {
        const seconds = (performance.now() - started) / 1000;
        const secondsLeft = seconds > 1 && done > 0 ? (seconds * (1 - done)) / done : null;
        progress(done);
        this.#send({ type: "files/progress", id, done, secondsLeft, rows });
      });
    try {
      const { report, fixes } = await onAbort(signal, () => this.#readers.stop(), read);
      this.#send({ type: "files/read", id, report, fixes });
    } catch (thrown) {
      if (isCancelled(thrown)) throw thrown;
      this.#send({ type: "files/failed", id, error: asError(thrown) });
    }
  }

  /** @param {string} text @param {boolean} whole read its numbers as well @param {boolean} linked */
  async #openAddress(text, whole, linked) {
    this.#send({ type: "address/asking" });
    try {
      const { address, name } = fileAddress(text, linked);
      const size = await this.#reach.size(address);
      const remote = { address, name, size };
      const id = keepRemote(remote);
      const report = await this.#inspector.header(remote);
      const entry = { ...newEntry(id, remote), address, report, status: /** @type {const} */ ("header") };
      this.#send({ type: "files/added", entry, select: true });
      this.#send({ type: "address/answered", error: null });
      if (whole) this.#send({ type: "files/continue", id });
    } catch (thrown) {
      this.#send({ type: "address/answered", error: asError(thrown) });
    }
  }

  /** Many files as a table, by their headers. @param {{ id: string, file: File, path?: string }[]} entries */
  list(entries) {
    const rows = entries.map(({ id, file, path }) => ({ id, path: path ?? file.name, summary: null, error: null }));
    this.#send({ type: "folder/listed", rows });
    /** @type {import("../types.d.ts").FolderRow[]} */
    let ready = [];
    let [count, told] = [0, performance.now()];
    const tell = () => {
      this.#send({ type: "folder/summarized", rows: ready });
      ready = [];
      told = performance.now();
    };
    const left = rows.values(); // a paused list goes on where it was
    const job = this.#jobs.start({
      ...{ lane: "read", kind: "folder", same: "replace", yields: "resumes" },
      run: async (signal, progress) => {
        const one = async (
          /** @type {import("../types.d.ts").FolderRow} */ row,
          /** @type {import("../engine/inspector.js").InspectorClient} */ worker,
        ) => {
          const read = await this.#summary(row, worker);
          ready.push(read); // not before: `tell` takes the list away meanwhile
          progress(++count / rows.length);
          if (performance.now() - told > 250) tell();
        };
        await this.#readers.each(left, one, signal);
        tell();
        signal.throwIfAborted();
      },
    });
    job?.done.catch((thrown) => isCancelled(thrown) || this.#messages.raise(t("error.list"), thrown));
  }

  /**
   * @param {import("../types.d.ts").FolderRow} row @param {import("../engine/inspector.js").InspectorClient} worker
   * @returns {Promise<import("../types.d.ts").FolderRow>}
   */
  async #summary(row, worker) {
    const place = keptOf(row.id);
    try {
      return place ? { ...row, summary: await worker.summarize(place) } : row;
    } catch (thrown) {
      return { ...row, error: asError(thrown) };
    }
  }

  /** @param {string} id */
  #openRow(id) {
    const place = keptOf(id);
    if (!place || !("file" in place)) return;
    this.#show(id, place.file);
  }

  /**
   * Opens the report of a file that is kept.
   * @param {string} id
   * @param {File} file
   * @param {boolean} [select] goes to it
   */
  #show(id, file, select = true) {
    if (entryById(this.#getState(), id)) return this.#send({ type: "files/select", id });
    this.#send({ type: "files/added", entry: newEntry(id, file), select });
    void this.read([id]);
    if (select) scrollTo("look");
  }

  /** @param {string} line */
  async #explain(line) {
    const id = this.#getState().selected;
    const place = keptOf(id);
    if (!place || !line.trim()) return;
    try {
      this.#send({ type: "log/explained", id, line, answer: await this.#inspector.explainLog(place, line) });
    } catch (thrown) {
      this.#messages.raise(t("error.log"), thrown);
    }
  }

  /** @param {string} path */
  async #measure(path) {
    const { selected: id, look } = this.#getState();
    const place = keptOf(id);
    if (!place || !path || path in look.spectra || entryById(this.#getState(), id)?.status !== "read") return;
    try {
      this.#send({ type: "layer/measured", id, path, spectrum: await this.#inspector.spectrum(place, path) });
    } catch (thrown) {
      this.#messages.raise(t("error.layer"), thrown);
    }
  }

  /** Measures a report's strengths beside the weights of the chosen model. @param {string} id */
  #weigh(id) {
    const entry = entryById(this.#getState(), id);
    const [place, report] = [keptOf(id), entry?.report];
    if (!entry || !report || !place) return;
    const model = weighableBy(this.#getState(), entry);
    const job = this.#jobs.start({
      ...{ lane: "disk", kind: "compare_base", name: entry.name, key: "weigh", same: "replace" },
      run: async (signal, progress) => {
        const files = await this.#modelFiles();
        const tell = (/** @type {number} */ done) => (progress(done), this.#send({ type: "weigh/progress", id, done }));
        return onAbort(
          signal,
          () => this.#inspector.stopWeighing(),
          () => this.#inspector.weigh(place, files, report, tell),
        );
      },
    });
    job?.done.then(
      (weighing) => this.#send({ type: "weigh/done", id, weighing, model }),
      (thrown) =>
        this.#send(
          isCancelled(thrown) ? { type: "weigh/stopped", id } : { type: "weigh/failed", id, error: asError(thrown) },
        ),
    );
  }

  /** @param {string} id */
  async #findTriggers(id) {
    const entry = entryById(this.#getState(), id);
    if (!entry) return;
    try {
      const { findTriggers } = await import("./triggers.js");
      const tell = (/** @type {number} */ done) => this.#send({ type: "triggers/progress", id, done });
      this.#send({ type: "triggers/found", id, found: await findTriggers(this.#world, entry, tell) });
    } catch (thrown) {
      if (isCancelled(thrown)) this.#send({ type: "triggers/stopped", id });
      else this.#send({ type: "triggers/failed", id, error: asError(thrown) });
    }
  }

  /** @param {string} other */
  async #compare(other) {
    const id = this.#getState().selected;
    const [a, b] = [keptOf(id), keptOf(other)];
    if (!a || !b) return;
    try {
      this.#send({ type: "compare/done", id, other, result: await this.#inspector.compare(a, b) });
    } catch (thrown) {
      this.#send({ type: "compare/failed", id, other, error: asError(thrown) });
    }
  }

  #shown() {
    return entryById(this.#getState(), this.#getState().selected)?.report ?? null;
  }

  /** The rest of a report is drawn when its upper half stands. */
  #settleSoon() {
    if (!this.#getState().look.settled && this.#shown()) setTimeout(() => this.#send({ type: "look/settled" }), 30);
  }

  /** @param {Action} action */
  act(action) {
    const { look } = this.#getState();
    this.#editing.act(action);
    if (action.type.startsWith("files/")) this.#settleSoon();
    switch (action.type) {
      case "files/select":
        return this.#jobs.raise(`read:${action.id}`, ++this.#turn);
      case "files/continue":
        return void this.read([action.id]);
      case "address/open":
        return void this.#openAddress(action.text, action.whole ?? false, action.linked ?? false);
      case "folder/closed":
        return this.#jobs.cancelAll("folder");
      case "folder/open":
        return this.#openRow(action.id);
      case "folder/save": {
        const { folder } = look;
        if (!folder) return;
        if (action.as === "csv")
          return void this.#messages.saved(() => saveText("lora-table.csv", folderCsv(folder), "text/csv"));
        return void this.#messages.saved(() => saveText("lora-table.json", folderJson(folder), "application/json"));
      }
      case "log/explain":
        return void this.#explain(action.line);
      case "layer/chosen":
        return void this.#measure(look.layer);
      case "weigh/start":
        return this.#weigh(action.id);
      case "weigh/stop":
        return this.#jobs.cancelAll("weigh");
      case "triggers/find":
        return void this.#findTriggers(action.id);
      case "triggers/stop":
        return this.#jobs.cancelAll("triggers");
      case "compare/start":
        return void this.#compare(action.id);
      case "report/copy": {
        const report = this.#shown();
        return report
          ? this.#send({ type: "text/copy", text: reportMarkdown(report), what: t("look.the_report") })
          : undefined;
      }
      case "report/save": {
        const report = this.#shown();
        return report
          ? void this.#messages.saved(() => saveText(`${report.file}.html`, reportHtml(report.file), "text/html"))
          : undefined;
      }
    }
  }
}
