/**
 * The work of a visit, kept in the browser's database for the next one: the form, files that can be found again, the
 * last images.
 */

import { createStore, delMany, get, set } from "idb-keyval";
import { scoped } from "../core/scope.js";
import { fileOf } from "../files/opened.js";
import { storedForm } from "../form.js";
import { decodedImage } from "../images.js";
import { handleOf, openable, reopened } from "../library/handles.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Drawing} Drawing */
/** @typedef {{ name: string, handle: FileSystemFileHandle }} Handle */
/**
 * `rows`: LoRAs of the user's own files, by their names.
 * @typedef {{ form: unknown, rows: import("../types.d.ts").SessionRow[], handles: Handle[] }} Work
 */

/** Images that are kept, the latest. */
const MOST_IMAGES = 24;
/** Milliseconds without a change before it is written. */
const REST = 500;

const store = () => createStore(scoped("loupe-session"), "work");

/** What keeps the work of a visit. */
export class Session {
  #send;
  #getState;
  /** Nothing is kept before the last visit's work is there, nor after it was forgotten. */
  #keeping = false;
  /** @type {{ form: State["form"] | null, files: State["files"], items: Drawing[] }} */
  #last = { form: null, files: [], items: [] };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** Files of the last visit that need the user's consent. @type {Handle[]} */
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
          rows: work?.rows ?? [],
          drawings,
        });
      await this.#openFiles(work?.handles ?? []);
    } catch {
      // Private windows of some browsers keep nothing, and what an older version kept may not be readable.
    }
    const { form, files, history } = this.#getState();
    this.#last = { form, files, items: history.items };
    this.#keeping = true;
  }

  /** @param {Handle[]} handles */
  async #openFiles(handles) {
    const allowed = await Promise.all(handles.map(({ handle }) => openable(handle)));
    this.#waiting = handles.filter((_, at) => !allowed[at]);
    this.#send({ type: "session/waiting", names: this.#waiting.map(({ name }) => name) });
    await this.#open(handles.filter((_, at) => allowed[at]));
  }

  /** @param {Handle[]} handles */
  async #open(handles) {
    const files = (await Promise.all(handles.map(({ handle }) => reopened(handle)))).flatMap((file) => file ?? []);
    if (files.length)
      this.#send({
        type: "files/dropped",
        files,
        handles: files.map((file) => handleOf(file) ?? null),
        folders: [],
        place: "",
      });
  }

  /** After a click the browser asks whether the files may be read again. */
  async #reopen() {
    const all = this.#waiting;
    this.#waiting = [];
    this.#send({ type: "session/waiting", names: [] });
    await this.#open(all);
  }

  #keepSoon() {
    const { form, files, history } = this.#getState();
    if (
      !this.#keeping ||
      (form === this.#last.form && files === this.#last.files && history.items === this.#last.items)
    )
      return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#keep().catch(() => {}), REST);
  }

  async #keep() {
    const { form, files, history } = this.#getState();
    const { items } = this.#last;
    this.#last = { form, files, items: history.items };
    const nameOf = (/** @type {string} */ id) => files.find((entry) => entry.id === id)?.name;
    const rows = form.loras.flatMap((row) =>
      nameOf(row.id) && !row.id.startsWith("demo:") ? [{ ...row, name: nameOf(row.id) ?? "" }] : [],
    );
    const handles = files.flatMap(({ id, name }) => {
      const handle = handleOf(fileOf(id));
      return handle ? [{ name, handle }] : [];
    });
    await set("work", { form, rows, handles: [...handles, ...this.#waiting] }, store());
    if (items !== history.items) await set("images", history.items.slice(-MOST_IMAGES).map(withoutPixels), store());
    this.#send({ type: "session/kept", kept: true });
  }

  async #forget() {
    this.#keeping = false;
    this.#waiting = [];
    clearTimeout(this.#timer);
    this.#send({ type: "session/waiting", names: [] });
    await delMany(["work", "images"], store()).catch(() => {});
    this.#send({ type: "session/kept", kept: false });
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    this.#keepSoon();
    switch (action.type) {
      case "session/reopen":
        return void this.#reopen();
      case "session/forget":
        return void this.#forget();
    }
  }
}

/** The PNG has the pixels too. @param {Drawing} drawing */
function withoutPixels({ image: { rgba, ...image }, ...drawing }) {
  return { ...drawing, image };
}
