/**
 * The work of a visit, kept in the browser's database for the next one: the form, files and models that can be found
 * again, the last images.
 */

import { createStore, delMany, get, set } from "idb-keyval";
import { scoped } from "../core/scope.js";
import { needsConsent, openAgain, openedFiles } from "./session-files.js";
import { fileOf, keptImage } from "../files/opened.js";
import { storedForm } from "../form.js";
import { decodedImage } from "../images.js";
import { rowName } from "../select.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Drawing} Drawing */
/** @typedef {import("./session-files.js").Opened} Opened */
/**
 * `usual`: the last model's numbers; `rows`: LoRAs of the user's own files, by their names; `start` and `mask`: the
 * image to start from.
 * @typedef {{
 *   form: unknown, usual?: State["base"]["usual"], rows: import("../types.d.ts").SessionRow[], opened?: Opened[],
 *   start?: File | null, mask?: File | null,
 * }} Work
 */
/**
 * What of the state is kept.
 * @typedef {Pick<State, "form" | "files" | "base" | "start" | "mask"> & { items: Drawing[] }} Kept
 */

/** Images that are kept, the latest. */
const MOST_IMAGES = 24;
/** Bytes of an image to start from that is kept. */
const MOST_BYTES = 32e6;
/** Milliseconds without a change before it is written. */
const REST = 500;

const store = () => createStore(scoped("loupe-session"), "work");

/** What keeps the work of a visit. */
export class Session {
  #send;
  #getState;
  /** Nothing is kept before the last visit's work is there, nor after it was forgotten. */
  #keeping = false;
  /** What was kept last. @type {Kept | null} */
  #last = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Files of the last visit that need the user's consent. @type {Opened[]} */
  #waiting = [];

  /** @param {{ send: import("../types.d.ts").Send, getState: () => State }} world */
  constructor({ send, getState }) {
    this.#send = send;
    this.#getState = getState;
  }

  /** The last visit's work. Without a database there is none. @returns {Promise<void>} */
  async restore() {
    try {
      const work = /** @type {Work | undefined} */ (await get("work", store()));
      const images = /** @type {Drawing[]} */ ((await get("images", store())) ?? []);
      const drawings = await Promise.all(
        images.map(async (each) => ({ ...each, image: { ...each.image, ...(await decodedImage(each.image.png)) } })),
      );
      if (work || drawings.length)
        this.#send({
          type: "session/restored",
          form: work ? storedForm(work.form) : null,
          usual: work?.usual ?? null,
          rows: work?.rows ?? [],
          drawings,
        });
      if (work?.start) this.#send({ type: "start/taken", start: keptImage(work.start) });
      if (work?.start && work.mask) this.#send({ type: "mask/taken", mask: keptImage(work.mask) });
      await this.#openFiles(work?.opened ?? []);
    } catch {
      // Private windows of some browsers keep nothing, and what an older version kept may not be readable.
    }
    this.#last = keptOf(this.#getState());
    this.#keeping = true;
  }

  /** @param {Opened[]} opened */
  async #openFiles(opened) {
    const waits = await Promise.all(opened.map(needsConsent));
    this.#waiting = opened.filter((_, at) => waits[at]);
    await this.#open(opened.filter((_, at) => !waits[at]));
  }

  /** @param {Opened[]} opened */
  async #open(opened) {
    const lost = await openAgain(opened, this.#send);
    this.#send({ type: "session/waiting", waiting: this.#waiting.map(({ name }) => name), lost });
  }

  /** After a click the browser asks whether the files may be read again. */
  #reopen() {
    const all = this.#waiting;
    this.#waiting = [];
    return this.#open(all);
  }

  /** What was not opened again is not asked for any more. */
  #dismiss() {
    this.#waiting = [];
    void this.#keep().catch(() => {});
  }

  #keepSoon() {
    const now = keptOf(this.#getState());
    const last = this.#last;
    const same = last && Object.entries(now).every(([name, value]) => value === last[/** @type {keyof Kept} */ (name)]);
    if (!this.#keeping || same) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#keep().catch(() => {}), REST);
  }

  /** What is to be kept is kept now: the page is about to be loaded anew. */
  async keepNow() {
    clearTimeout(this.#timer);
    if (this.#keeping) await this.#keep().catch(() => {});
  }

  async #keep() {
    const last = this.#last;
    const now = (this.#last = keptOf(this.#getState()));
    const { form, base, items } = now;
    const names = form.loras.map((row) => rowName(this.#getState(), row));
    const rows = form.loras.flatMap((row, at) =>
      names[at] && !row.id.startsWith("demo:") ? [{ ...row, name: names[at], after: names.slice(0, at) }] : [],
    );
    const work = {
      ...{ form, usual: base.usual, rows: [...rows, ...this.#getState().session.rows] },
      opened: [...openedFiles(now), ...this.#waiting],
      ...{ start: startFile(now.start), mask: startFile(now.mask) },
    };
    await set("work", work, store());
    if (last?.items !== items) await set("images", items.slice(-MOST_IMAGES).map(withoutPixels), store());
    this.#send({ type: "session/kept", kept: true });
  }

  async #forget() {
    this.#keeping = false;
    this.#waiting = [];
    clearTimeout(this.#timer);
    await delMany(["work", "images"], store()).catch(() => {});
    this.#send({ type: "session/kept", kept: false });
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    this.#keepSoon();
    switch (action.type) {
      case "session/reopen":
        return void this.#reopen();
      case "session/dismiss":
        return this.#dismiss();
      case "session/forget":
        return void this.#forget();
    }
  }
}

/** The PNG has the pixels too. @param {Drawing} drawing */
function withoutPixels({ image: { rgba, ...image }, ...drawing }) {
  return { ...drawing, image };
}

/** @param {State} state @returns {Kept} */
function keptOf({ form, files, base, start, mask, history }) {
  return { form, files, base, start, mask, items: history.items };
}

/** The file of an image to start from, if it is not too large to keep. @param {State["start"]} image */
function startFile(image) {
  const file = image && fileOf(image.id);
  return file && file.size <= MOST_BYTES ? file : null;
}
