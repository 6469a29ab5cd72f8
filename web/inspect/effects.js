/**
 * The Look act's actions -> calls of the engine and downloads: files read header first, folders, addresses, logs,
 * comparisons.
 */

import { fileAddress } from "../remote/address.js";
import { createChanging } from "../edit/effects.js";
import { asError, isCancelled } from "../core/errors.js";
import { onAbort } from "../core/jobs.js";
import { folderCsv, folderJson } from "../files/folder.js";
import { keepRemote, keptOf } from "../files/opened.js";
import { reportHtml, reportMarkdown } from "./export.js";
import { saveText } from "../gallery/save.js";
import { entryById, weighableBy } from "../select.js";
import { t } from "../words.js";
import { scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").Action} Action */
/** @typedef {import("../types.d.ts").State} State */

/**
 * @param {{
 *   client: import("../engine/client.js").EngineClient, readers: import("../engine/readers.js").Readers, jobs:
 * import("../core/jobs.js").Jobs,
 *   reach: import("../remote/address.js").Reach, send: import("../types.d.ts").Send, getState: () => State,
 *   raise: (title: string, thrown: unknown) => void, saved: (save: () => string | null | undefined) => void,
 *   modelFiles: () => Promise<import("../files/opened.js").ModelFiles>,
 * }} world `modelFiles` gives the chosen base model's
 */
export function createLooking({ client, readers, jobs, reach, send, getState, raise, saved, modelFiles }) {
  const changing = createChanging({ client, jobs, send, getState, show, saved });
  /** Counts up: the file that was asked for last is read first. */
  let turn = 0;

  /**
   * Reads files: what the headers say at once, then the numbers, these files' before all others.
   * @param {string[]} ids
   */
  async function read(ids) {
    const latestFirst = ids.toReversed();
    const headers = (async () => {
      for (const id of latestFirst) await readHeader(id);
    })();
    const priority = ++turn;
    const all = latestFirst.map(async (id) => {
      const job = jobs.start({
        ...{
          lane: "read",
          kind: "read",
          name: entryById(getState(), id)?.name,
          key: `read:${id}`,
          same: "join",
          priority,
          yields: "resumes",
        },
        run: async (signal, progress) => {
          await headers;
          await readNumbers(id, signal, progress);
        },
      });
      await job?.done.catch((thrown) => {
        if (!isCancelled(thrown)) throw thrown;
        send({ type: "files/waiting", id });
      });
    });
    await Promise.all(all);
  }

  /** @param {string} id */
  async function readHeader(id) {
    const place = keptOf(id);
    if (!place) return;
    try {
      send({ type: "files/header", id, report: await client.header(place) });
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
  async function readNumbers(id, signal, progress) {
    const place = keptOf(id);
    if (!place) return;
    const started = performance.now();
    const read = () =>
      readers.inspect(place, ({ done, rows }) => {
        const seconds = (performance.now() - started) / 1000;
        const secondsLeft = seconds > 1 && done > 0 ? (seconds * (1 - done)) / done : null;
        progress(done);
        send({ type: "files/progress", id, done, secondsLeft, rows });
      });
    try {
      const { report, fixes } = await onAbort(signal, () => readers.stop(), read);
      send({ type: "files/read", id, report, fixes });
    } catch (thrown) {
      if (isCancelled(thrown)) throw thrown;
      send({ type: "files/failed", id, error: asError(thrown) });
    }
  }

  /** @param {string} text @param {boolean} whole read its numbers as well @param {boolean} linked */
  async function openAddress(text, whole, linked) {
    send({ type: "address/asking" });
    try {
      const { address, name } = fileAddress(text, linked);
      const size = await reach.size(address);
      const remote = { address, name, size };
      const id = keepRemote(remote);
      const report = await client.header(remote);
      const entry = {
        id,
        name,
        size,
        address,
        status: /** @type {const} */ ("header"),
        report,
        fixes: [],
        error: null,
        done: 0,
        secondsLeft: null,
      };
      send({ type: "files/added", entry, select: true });
      send({ type: "address/answered", error: null });
      if (whole) send({ type: "files/continue", id });
    } catch (thrown) {
      send({ type: "address/answered", error: asError(thrown) });
    }
  }

  /** Many files as a table, by their headers. @param {{ id: string, file: File, path?: string }[]} entries */
  function list(entries) {
    const rows = entries.map(({ id, file, path }) => ({ id, path: path ?? file.name, summary: null, error: null }));
    send({ type: "folder/listed", rows });
    /** @type {import("../types.d.ts").FolderRow[]} */
    let ready = [];
    let [count, told] = [0, performance.now()];
    const tell = () => {
      send({ type: "folder/summarized", rows: ready });
      ready = [];
      told = performance.now();
    };
    const left = rows.values(); // a paused list goes on where it was
    const job = jobs.start({
      ...{ lane: "read", kind: "folder", same: "replace", yields: "resumes" },
      run: async (signal, progress) => {
        const one = async (
          /** @type {import("../types.d.ts").FolderRow} */ row,
          /** @type {import("../engine/client.js").EngineClient} */ worker,
        ) => {
          const read = await summary(row, worker);
          ready.push(read); // not before: `tell` takes the list away meanwhile
          progress(++count / rows.length);
          if (performance.now() - told > 250) tell();
        };
        await readers.each(left, one, signal);
        tell();
        signal.throwIfAborted();
      },
    });
    job?.done.catch((thrown) => isCancelled(thrown) || raise(t("error.list"), thrown));
  }

  /**
   * @param {import("../types.d.ts").FolderRow} row @param {import("../engine/client.js").EngineClient} worker
   * @returns {Promise<import("../types.d.ts").FolderRow>}
   */
  async function summary(row, worker) {
    const place = keptOf(row.id);
    try {
      return place ? { ...row, summary: await worker.summarize(place) } : row;
    } catch (thrown) {
      return { ...row, error: asError(thrown) };
    }
  }

  /** @param {string} id */
  function openRow(id) {
    const place = keptOf(id);
    if (!place || !("file" in place)) return;
    show(id, place.file);
  }

  /**
   * Opens the report of a file that is kept.
   * @param {string} id
   * @param {File} file
   * @param {boolean} [select] goes to it
   */
  function show(id, { name, size }, select = true) {
    if (entryById(getState(), id)) return send({ type: "files/select", id });
    send({
      type: "files/added",
      entry: { id, name, size, status: "reading", report: null, fixes: [], error: null, done: 0, secondsLeft: null },
      select,
    });
    void read([id]);
    if (select) scrollTo("look");
  }

  /** @param {string} line */
  async function explain(line) {
    const id = getState().selected;
    const place = keptOf(id);
    if (!place || !line.trim()) return;
    try {
      send({ type: "log/explained", id, line, answer: await client.explainLog(place, line) });
    } catch (thrown) {
      raise(t("error.log"), thrown);
    }
  }

  /** @param {string} path */
  async function measure(path) {
    const { selected: id, look } = getState();
    const place = keptOf(id);
    if (!place || !path || path in look.spectra || entryById(getState(), id)?.status !== "read") return;
    try {
      send({ type: "layer/measured", id, path, spectrum: await client.spectrum(place, path) });
    } catch (thrown) {
      raise(t("error.layer"), thrown);
    }
  }

  /** Measures a report's strengths beside the weights of the chosen model. @param {string} id */
  function weigh(id) {
    const entry = entryById(getState(), id);
    const [place, report] = [keptOf(id), entry?.report];
    if (!entry || !report || !place) return;
    const model = weighableBy(getState(), entry);
    const job = jobs.start({
      ...{ lane: "disk", kind: "compare_base", name: entry.name, key: "weigh", same: "replace" },
      run: async (signal, progress) => {
        const files = await modelFiles();
        const tell = (/** @type {number} */ done) => (progress(done), send({ type: "weigh/progress", id, done }));
        return onAbort(
          signal,
          () => client.stopWeighing(),
          () => client.weigh(place, files, report, tell),
        );
      },
    });
    job?.done.then(
      (weighing) => send({ type: "weigh/done", id, weighing, model }),
      (thrown) =>
        send(
          isCancelled(thrown) ? { type: "weigh/stopped", id } : { type: "weigh/failed", id, error: asError(thrown) },
        ),
    );
  }

  /** @param {string} other */
  async function compare(other) {
    const id = getState().selected;
    const [a, b] = [keptOf(id), keptOf(other)];
    if (!a || !b) return;
    try {
      send({ type: "compare/done", id, other, result: await client.compare(a, b) });
    } catch (thrown) {
      send({ type: "compare/failed", id, other, error: asError(thrown) });
    }
  }

  function shown() {
    return entryById(getState(), getState().selected)?.report ?? null;
  }

  /** The rest of a report is drawn when its upper half stands. */
  function settleSoon() {
    if (!getState().look.settled && shown()) setTimeout(() => send({ type: "look/settled" }), 30);
  }

  /** @param {Action} action */
  function act(action) {
    const { look } = getState();
    changing(action);
    if (action.type.startsWith("files/")) settleSoon();
    switch (action.type) {
      case "files/select":
        return jobs.raise(`read:${action.id}`, ++turn);
      case "files/continue":
        return void read([action.id]);
      case "address/open":
        return void openAddress(action.text, action.whole ?? false, action.linked ?? false);
      case "folder/closed":
        return jobs.cancelAll("folder");
      case "folder/open":
        return openRow(action.id);
      case "folder/save": {
        const { folder } = look;
        if (!folder) return;
        if (action.as === "csv") return saved(() => saveText("lora-table.csv", folderCsv(folder), "text/csv"));
        return saved(() => saveText("lora-table.json", folderJson(folder), "application/json"));
      }
      case "log/explain":
        return void explain(action.line);
      case "layer/chosen":
        return void measure(look.layer);
      case "weigh/start":
        return weigh(action.id);
      case "weigh/stop":
        return jobs.cancelAll("weigh");
      case "compare/start":
        return void compare(action.id);
      case "report/copy": {
        const report = shown();
        return report
          ? send({ type: "text/copy", text: reportMarkdown(report), what: t("look.the_report") })
          : undefined;
      }
      case "report/save": {
        const report = shown();
        return report ? saved(() => saveText(`${report.file}.html`, reportHtml(report.file), "text/html")) : undefined;
      }
    }
  }

  return { act, read, list };
}
