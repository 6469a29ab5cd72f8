/** Dropped, picked and pasted files -> reports, base models, settings, images to start from. */

import { areParameters, pngOfText } from "./paste.js";
import { adaptersOf, together, withConfig } from "./folder.js";
import {
  forget,
  keepDropped,
  keepFolder,
  keepNew,
  keepRemote,
  keepRoot,
  keptImage,
  newEntry,
  fileOf,
} from "./opened.js";
import { asError } from "../core/errors.js";
import { imageFile } from "../gallery/save.js";
import { holdsTexts, isImage } from "../images.js";
import { pickFiles, pickFolder, remember } from "../library/handles.js";
import { farModel } from "../remote/model.js";
import { NOTHING_SAID, restored } from "../share/restore.js";
import { t } from "../words.js";
import { download, focusOn, onPaste, scrollTo } from "../world.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** Bytes of an image that are searched for texts. */
const MOST_BYTES = 64 << 20;
/** More files than this in one drop become a table. */
const MOST_TABS = 6;

/** What takes up files. */
export class Opening {
  #engine;
  #reach;
  #jobs;
  #send;
  #getState;
  #messages;
  #looking;
  #listed;

  /**
   * @param {{
   *   engine: import("../engine/engine.js").EngineClient, reach: import("../remote/address.js").Reach,
   *   jobs: import("../core/jobs.js").Jobs, send: import("../types.d.ts").Send, getState: () => State,
   *   messages: import("../app/messages.js").Messages, looking: import("../inspect/effects.js").Looking,
   *   listed: Promise<void>,
   * }} world
   */
  constructor({ engine, reach, jobs, send, getState, messages, looking, listed }) {
    this.#engine = engine;
    this.#reach = reach;
    this.#jobs = jobs;
    this.#send = send;
    this.#getState = getState;
    this.#messages = messages;
    this.#looking = looking;
    this.#listed = listed;
    onPaste((pasted) => this.#paste(pasted));
  }

  /**
   * Each kind of file goes its way: images to the form, models to the base model, everything else to its report.
   * @param {Extract<Action, { type: "files/dropped" }>} drop
   */
  async #addFiles({ files: dropped, handles = [], folders, place }) {
    dropped.forEach((file, at) => remember(file, handles[at]));
    const models = folders.filter(({ files }) => files.some(({ path }) => path.endsWith("model_index.json")));
    const others = folders.filter((folder) => !models.includes(folder));
    const inside = others.flatMap(adaptersOf);
    if (folders.length && !models.length && !inside.length) {
      this.#messages.raise(t("error.empty_folder"), { message: t("error.empty_folder_says") });
    }
    for (const { name, files, handle } of models) this.#useModel(keepFolder(remember(files, handle)), name, "folder");
    for (const image of dropped.filter(isImage))
      await (place === "start" ? this.#startFrom(image) : this.#readImage(image));
    const rest = dropped.filter((file) => !isImage(file));
    if (place === "base") {
      const files = [...rest, ...inside.map(({ file }) => file)];
      return this.#getState().base.lacks ? this.#useParts(files) : files.forEach((file) => this.#useFile(file));
    }
    const found = keepDropped(await Promise.all(inside.map(withConfig)));
    for (const { name, handle = null } of others)
      keepRoot(
        found.flatMap(({ id, path }) => (path.startsWith(`${name}/`) ? [id] : [])),
        { name, handle },
      );
    const entries = [...keepDropped(await together(rest)), ...found];
    if (entries.length > MOST_TABS || inside.length > 1) return this.#looking.list(entries);
    const returns = place === "session";
    for (const { id, file } of entries)
      this.#send({ type: "files/added", entry: { ...newEntry(id, file), returns }, select: true });
    await this.#looking.read(entries.map(({ id }) => id));
  }

  /** An image's recipe goes into the form; one without is offered to start from. @param {File} file */
  async #readImage(file) {
    const bytes = async () => new Uint8Array(await file.slice(0, MOST_BYTES).arrayBuffer());
    await this.#readTexts(
      file.name,
      async () => (holdsTexts(file) ? this.#engine.readImage(file.name, await bytes()) : NOTHING_SAID),
      (said) => this.#offer(file, said),
    );
  }

  /**
   * @param {string} name
   * @param {() => Promise<import("../engine/types.d.ts").ImageInfo>} read
   * @param {(said: import("../engine/types.d.ts").ImageInfo) => void} otherwise if it is no recipe
   */
  async #readTexts(name, read, otherwise) {
    try {
      await this.#listed;
      const said = await read();
      const found = restored(this.#getState(), name, said);
      if (found) this.#send({ type: "restored", ...found });
      else otherwise(said);
    } catch (thrown) {
      return this.#messages.raise(t("error.not_read", { name }), thrown);
    }
    scrollTo("run");
  }

  /**
   * Files are opened as if they were dropped; the parameters of an image go into the form, wherever they are pasted.
   * @param {{ files: File[], text: string }} pasted
   */
  #paste({ files, text }) {
    if (files.length) this.#send({ type: "files/dropped", files, folders: [], place: "" });
    else if (areParameters(text)) {
      const name = t("paste.text");
      void this.#readTexts(
        name,
        () => this.#engine.readImage(name, pngOfText("parameters", text)),
        () => this.#messages.raise(t("error.not_read", { name }), t("paste.nothing")),
      );
    } else return false;
    return true;
  }

  /**
   * Takes what is chosen in the browser's own dialogue.
   * @template T
   * @param {Promise<T | null>} picked
   * @param {(picked: T) => void} take
   */
  #pick(picked, take) {
    void picked.then(
      (what) => what && take(what),
      (thrown) => this.#messages.raise(t("error.not_opened"), thrown),
    );
  }

  /** @param {File} file @param {import("../engine/types.d.ts").ImageInfo} said */
  #offer(file, said) {
    const title = t("image.no_recipe", { name: file.name });
    const details = [...said.unknown.map((text) => t("image.unknown", text)), ...said.problems];
    const message = t(details.length ? "image.not_understood" : "image.no_recipe_says");
    const severity = details.length ? /** @type {const} */ ("warn") : /** @type {const} */ ("good");
    const remark = { kind: "image", severity, title, message, details };
    this.#send({ type: "remark/made", remark: { ...remark, image: keptImage(file) } });
  }

  /** @param {File} file */
  #startFrom(file) {
    this.#send({ type: "start/taken", start: keptImage(file) });
  }

  /**
   * A generated image becomes the image to start from.
   * @param {{ type: string, drawing: import("../gallery/save.js").Drawing }} action
   */
  #sendOn({ type, drawing }) {
    this.#startFrom(imageFile(drawing));
    scrollTo("start");
    focusOn(type === "image/inpaint" ? "pick-mask" : "denoise");
  }

  /** @param {string} id */
  #save(id) {
    const file = fileOf(id);
    if (file) void this.#messages.saved(() => download(file.name, file));
  }

  /** @param {string} id */
  #closeFile(id) {
    for (const key of [`read:${id}`, ...(id === this.#getState().selected ? ["weigh", "edit"] : [])])
      this.#jobs.cancelAll(key);
    if (!this.#getState().base.own.some((model) => model.id === id)) forget(id);
  }

  /** Text encoders or a VAE of the chosen model. @param {File[]} files */
  #useParts(files) {
    for (const file of files) this.#send({ type: "part/added", part: { id: keepNew("part", file), name: file.name } });
  }

  /** @param {File} file */
  #useFile(file) {
    this.#useModel(keepNew("model", file), file.name, "file");
  }

  /**
   * Makes the user's own model the base model.
   * @param {string} id
   * @param {string} name
   * @param {"file" | "folder"} kind
   */
  #useModel(id, name, kind) {
    if (!this.#getState().base.own.some((model) => model.id === id))
      this.#send({ type: "model/added", model: { id, name, kind } });
    this.#send({ type: "model/chosen", id });
    scrollTo("run");
  }

  /** A model that lies elsewhere: what it needs comes from there, piece by piece. @param {string} text */
  async #useFarModel(text) {
    this.#send({ type: "model/asking" });
    try {
      const found = await farModel(text, (address) => this.#reach.size(address));
      if ("files" in found) this.#useModel(keepFolder(found.files), found.name, "folder");
      else this.#useModel(keepRemote(found.file), found.name, "file");
      this.#send({ type: "model/answered", error: null });
    } catch (thrown) {
      this.#send({ type: "model/answered", error: asError(thrown) });
    }
  }

  /** @param {Action} action */
  act(action) {
    switch (action.type) {
      case "files/dropped":
        return void this.#addFiles(action).catch((thrown) => this.#messages.raise(t("error.not_opened"), thrown));
      case "files/pick":
        return this.#pick(pickFiles(true), (files) =>
          this.#send({ type: "files/dropped", files, folders: [], place: "" }),
        );
      case "files/save":
        return this.#save(action.id);
      case "files/close":
        return this.#closeFile(action.id);
      case "model/pick":
        return this.#pick(pickFiles(false), ([file]) => this.#useFile(file));
      case "model/pick_folder":
        return this.#pick(pickFolder(), (folder) =>
          this.#send({ type: "files/dropped", files: [], folders: [folder], place: "base" }),
        );
      case "part/pick":
        return this.#pick(pickFiles(true), (files) => this.#useParts(files));
      case "model/picked":
        return this.#useFile(action.file);
      case "model/used":
        return this.#useModel(action.id, this.#getState().files.find(({ id }) => id === action.id)?.name ?? "", "file");
      case "model/far":
        return void this.#useFarModel(action.text);
      case "part/picked":
        return this.#useParts(action.files);
      case "start/picked":
        return this.#startFrom(action.file);
      case "mask/picked":
        return this.#send({ type: "mask/taken", mask: keptImage(action.file) });
      case "image/start":
      case "image/inpaint":
        return this.#sendOn(action);
    }
  }
}
