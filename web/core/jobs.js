/**
 * The owner of all work that takes a while.
 *
 * Each job runs in a lane, and a lane runs as many jobs at once as LANES says. What happens when a job of the same key
 * is there already is the job's policy; a job of a higher priority goes before the others that wait, and takes the
 * place of a running job that yields. Which jobs there are is told to `onChange`, for the state.
 */

import { cancelled } from "./errors.js";

/**
 * Jobs that run at once. `gpu`: images and measurements; `read`: tensors of files; `edit`: new files and their
 * previews; `disk`: downloads, copies and long reads of models.
 */
export const LANES = { gpu: 1, read: 1, edit: 1, disk: 3 };

/** Milliseconds between two reports of progress. */
const PAUSE = 250;

/** @typedef {keyof typeof LANES} Lane */
/**
 * @typedef {"generate" | "grid" | "enlarge" | "live" | "open" | "bench" | "read" | "folder" | "preview" | "make" |
 * "download" | "keep" | "compare_base" | "series" | "previews" | "embed" | "triggers"} Kind
 */
/** @typedef {"waiting" | "running" | "pausing" | "cancelling"} Status */
/**
 * @typedef {{ id: number, lane: Lane, kind: Kind, name: string, status: Status, done: number | null }} JobState `name`:
 * a file's or a model's, "" for none; `done`: 0 to 1, null if it is not known
 */

/**
 * @template T
 * @typedef {{
 *   lane: Lane, kind: Kind, name?: string,
 *   key?: string,
 *   same?: "queue" | "replace" | "refuse" | "join",
 *   priority?: number,
 *   yields?: "no" | "ends" | "resumes",
 *   run: (signal: AbortSignal, progress: (done: number) => void) => Promise<T>,
 * }} Plan
 *
 * `same`: what happens if there is a job of this `key` (by default the kind): the new one waits as well, cancels the
 * other, is refused, or is that other one. `yields`: a job of a higher priority ends it, or pauses it; a paused job
 * runs anew when its turn comes. `run` is done with its lane when its promise settles, also after its signal was
 * aborted.
 */

/**
 * @typedef {JobState & { key: string, priority: number, yields: "no" | "ends" | "resumes", run: Plan<any>["run"], stop:
 * AbortController, promise: Promise<any>, resolve: (value: any) => void, reject: (thrown: unknown) => void }} Job
 */

export class Jobs {
  /** In the order of their arrival. @type {Job[]} */
  #jobs = [];
  #nextId = 1;
  #onChange;
  #told = 0;

  /** @param {(jobs: JobState[]) => void} onChange */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /**
   * Starts a job, or lets it wait. `done` settles as its `run` does, or rejects with kind "cancelled".
   * @template T @param {Plan<T>} plan
   * @returns {{ id: number, done: Promise<T> } | null} null if it is refused
   */
  start({ lane, kind, name = "", key = kind, same = "queue", priority = 0, yields = "no", run }) {
    const others = this.#jobs.filter((job) => job.key === key && job.status !== "cancelling");
    if (same === "refuse" && others.length) return null;
    if (same === "join" && others.length) {
      this.raise(key, priority);
      return { id: others[0].id, done: /** @type {any} */ (others[0].promise) };
    }
    if (same === "replace") others.forEach((job) => this.#cancel(job));
    const id = this.#nextId++;
    const waits = { id, lane, kind, name, status: /** @type {const} */ ("waiting"), done: null };
    /** @type {Pick<Job, "resolve" | "reject">} */
    let settle = { resolve() {}, reject() {} };
    const promise = new Promise((resolve, reject) => void (settle = { resolve, reject }));
    this.#jobs.push({ ...waits, key, priority, yields, run, stop: new AbortController(), promise, ...settle });
    this.#fill(lane);
    this.#tell();
    return { id, done: promise };
  }

  /** Cancels a job: one that waits at once, one that runs through its signal. @param {number} id */
  cancel(id) {
    const job = this.#jobs.find((job) => job.id === id);
    if (job) this.#cancel(job);
  }

  /** Cancels all jobs of a key. @param {string} key */
  cancelAll(key) {
    this.#jobs.filter((job) => job.key === key).forEach((job) => this.#cancel(job));
  }

  /** Gives the jobs of a key a priority, if it is higher than theirs. @param {string} key @param {number} priority */
  raise(key, priority) {
    for (const job of this.#jobs.filter((job) => job.key === key)) {
      job.priority = Math.max(job.priority, priority);
      this.#fill(job.lane);
    }
  }

  /** Whether there is a job of this key that is not cancelled. @param {string} key */
  has(key) {
    return this.#jobs.some((job) => job.key === key && job.status !== "cancelling");
  }

  /** @param {Job} job */
  #cancel(job) {
    if (job.status === "cancelling") return;
    const waits = job.status === "waiting";
    job.status = "cancelling";
    if (waits) this.#settled(job, () => job.reject(cancelled()));
    else job.stop.abort(cancelled());
    this.#tell();
  }

  /** Starts what a lane has room for; pauses or ends what has to make room. @param {Lane} lane */
  #fill(lane) {
    const there = this.#jobs.filter((job) => job.lane === lane);
    const waiting = there
      .filter(({ status }) => status === "waiting")
      .sort((a, b) => b.priority - a.priority || a.id - b.id);
    const busy = there.filter(({ status }) => status !== "waiting");
    const free = LANES[lane] - busy.length;
    waiting.slice(0, free).forEach((job) => void this.#work(job));
    const [next] = waiting.slice(Math.max(0, free));
    const leaving = busy.some(({ status }) => status !== "running");
    const weakest = busy.find(
      ({ status, yields, priority }) =>
        status === "running" && yields !== "no" && priority < (next?.priority ?? -Infinity),
    );
    if (!weakest || leaving) return;
    weakest.status = weakest.yields === "resumes" ? "pausing" : "cancelling";
    weakest.stop.abort(cancelled());
  }

  /** @param {Job} job */
  async #work(job) {
    Object.assign(job, { status: "running" });
    job.stop = new AbortController();
    const progress = (/** @type {number} */ done) => {
      job.done = done;
      if (performance.now() - this.#told >= PAUSE) this.#tell();
    };
    try {
      const { signal } = job.stop;
      await null; // who starts it hears of its id first
      signal.throwIfAborted();
      const value = await job.run(signal, progress);
      this.#settled(job, () => (job.status === "cancelling" ? job.reject(cancelled()) : job.resolve(value)));
    } catch (thrown) {
      if (job.status === "pausing") Object.assign(job, { status: "waiting", done: null });
      else this.#settled(job, () => job.reject(job.status === "cancelling" ? cancelled() : thrown));
    }
    this.#fill(job.lane);
    this.#tell();
  }

  /** @param {Job} job @param {() => void} answer */
  #settled(job, answer) {
    this.#jobs = this.#jobs.filter((each) => each !== job);
    // Who cancels a job need not listen to it.
    if (job.status === "cancelling") job.promise.catch(() => {});
    answer();
  }

  #tell() {
    this.#told = performance.now();
    this.#onChange(
      this.#jobs.map(({ id, lane, kind, name, status, done }) => ({ id, lane, kind, name, status, done })),
    );
  }
}

/**
 * Runs work that `stop` ends when the signal is aborted.
 * @template T
 * @param {AbortSignal} signal
 * @param {() => unknown} stop
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function onAbort(signal, stop, work) {
  signal.throwIfAborted();
  const act = () => void Promise.resolve(stop()).catch(() => {}); // a broken worker has stopped as well
  signal.addEventListener("abort", act, { once: true });
  try {
    return await work();
  } finally {
    signal.removeEventListener("abort", act);
  }
}
