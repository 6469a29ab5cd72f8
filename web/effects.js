/** Actions -> everything that touches the world: the engine, files, downloads, the clipboard. Each answers with further actions. */

import { Jobs } from "./core/jobs.js";
import { createBenching } from "./bench/effects.js";
import { createApp } from "./app/effects.js";
import { createSession } from "./app/session.js";
import { fetchCatalogue, fetchLora } from "./demo/files.js";
import { asError, isCancelled } from "./core/errors.js";
import { farModel } from "./remote/model.js";
import { createRunner } from "./generate/run.js";
import { createLooking } from "./inspect/effects.js";
import { fileOf, forget, keep, keepDropped, keepFolder, keepNew, keepRemote } from "./files/opened.js";
import { areParameters, pngOfText } from "./files/paste.js";
import { adaptersOf, together, withConfig } from "./files/folder.js";
import { holdsTexts, isImage } from "./images.js";
import { canRedraw, modelKey } from "./recipe.js";
import { NOTHING_SAID, restored } from "./share/restore.js";
import { pickFiles, remember } from "./library/handles.js";
import { createLinks } from "./share/effects.js";
import { createShelf } from "./library/effects.js";
import { drawingOf } from "./gallery/state.js";
import { fillers, loadView } from "./templates/lazy.js";
import { imageFile, saveDrawing, saveGrid, saveHistory } from "./gallery/save.js";
import { t } from "./words.js";
import { copyImage, copyText, focusOn, hasWebGpu, onPaste, reload, scrollTo, selectText } from "./world.js";

/** @typedef {import("./types.d.ts").Action} Action */
/** @typedef {import("./types.d.ts").State} State */

/** Bytes of an image that are searched for texts. */
const MOST_BYTES = 64 << 20;

/** More files than this in one drop become a table. */
const MOST_TABS = 6;
/** Milliseconds that a toast stays. */
const TOAST = 4000;

/**
 * @param {{ client: import("./engine/client.js").EngineClient, readers: import("./engine/readers.js").Readers, reach: import("./remote/address.js").Reach, send: import("./types.d.ts").Send, getState: () => State }} world
 * @returns {(action: Action) => void}
 */
export function createEffects({ client, readers, reach, send, getState }) {
  const jobs = new Jobs((list) => send({ type: "jobs/changed", jobs: list }));
  const app = createApp({ send });
  const shelf = createShelf({ jobs, send, getState });
  const benching = createBenching({ client, jobs, send });
  const runner = createRunner({ client, jobs, send, getState, bringLora, read: (ids) => looking.read(ids) });
  const looking = createLooking({ client, readers, jobs, reach, send, getState, raise, saved, modelFiles: runner.modelFiles });

  /**
   * Each kind of file goes its way: images to the form, models to the base model, everything else to its report.
   * @param {Extract<Action, { type: "files/dropped" }>} drop
   */
  async function addFiles({ files: dropped, handles = [], folders, place }) {
    dropped.forEach((file, at) => remember(file, handles[at]));
    const models = folders.filter(({ files }) => files.some(({ path }) => path.endsWith("model_index.json")));
    const others = folders.filter((folder) => !models.includes(folder));
    const inside = others.flatMap(adaptersOf);
    if (folders.length && !models.length && !inside.length) {
      raise(t("error.empty_folder"), { message: t("error.empty_folder_says") });
    }
    for (const { name, files } of models) useModel(keepFolder(files), name, "folder");
    for (const image of dropped.filter(isImage)) await (place === "start" ? startFrom(image) : readImage(image));
    const rest = dropped.filter((file) => !isImage(file));
    if (place === "base") return [...rest, ...inside.map(({ file }) => file)].forEach(useFile);
    const entries = [...keepDropped(await together(rest)), ...keepDropped(await Promise.all(inside.map(withConfig)))];
    if (entries.length > MOST_TABS || inside.length > 1) return looking.list(entries);
    for (const { id, file } of entries) addEntry(id, file, true);
    await looking.read(entries.map(({ id }) => id));
  }

  /** An image's recipe goes into the form; one without is offered to start from. @param {File} file */
  async function readImage(file) {
    const bytes = async () => new Uint8Array(await file.slice(0, MOST_BYTES).arrayBuffer());
    await readTexts(file.name, async () => (holdsTexts(file) ? client.readImage(file.name, await bytes()) : NOTHING_SAID), (said) => offer(file, said));
  }

  /** @param {string} name @param {() => Promise<import("./engine/types.d.ts").ImageInfo>} read @param {(said: import("./engine/types.d.ts").ImageInfo) => void} otherwise if it is no recipe */
  async function readTexts(name, read, otherwise) {
    try {
      await listed;
      const said = await read();
      const found = restored(getState(), name, said);
      if (found) send({ type: "restored", ...found });
      else otherwise(said);
    } catch (thrown) {
      return raise(t("error.not_read", { name }), thrown);
    }
    scrollTo("run");
  }

  /** Files are opened as if they were dropped; the parameters of an image go into the form, wherever they are pasted. */
  onPaste(({ files, text }) => {
    if (files.length) send({ type: "files/dropped", files, folders: [], place: "" });
    else if (areParameters(text)) {
      const name = t("paste.text");
      void readTexts(name, () => client.readImage(name, pngOfText("parameters", text)), () => raise(t("error.not_read", { name }), t("paste.nothing")));
    } else return false;
    return true;
  });

  /** @param {File} file @param {import("./engine/types.d.ts").ImageInfo} said */
  function offer(file, said) {
    const title = t("image.no_recipe", { name: file.name });
    const details = [...said.unknown.map((text) => t("image.unknown", text)), ...said.problems];
    const message = t(details.length ? "image.not_understood" : "image.no_recipe_says");
    const severity = details.length ? /** @type {const} */ ("warn") : /** @type {const} */ ("good");
    const remark = { kind: "image", severity, title, message, details };
    send({ type: "remark/made", remark: { ...remark, image: keptImage(file) } });
  }

  /** @param {File} file */
  function keptImage(file) {
    return { id: keepNew("image", file), name: file.name, url: URL.createObjectURL(file) };
  }

  /** @param {File} file */
  function startFrom(file) {
    send({ type: "start/taken", start: keptImage(file) });
  }

  /** A generated image becomes the image to start from. @param {{ type: string, drawing: import("./gallery/save.js").Drawing }} action */
  function sendOn({ type, drawing }) {
    startFrom(imageFile(drawing));
    scrollTo("start");
    focusOn(type === "image/inpaint" ? "pick-mask" : "denoise");
  }

  /** @param {string} id */
  function closeFile(id) {
    for (const key of [`read:${id}`, ...(id === getState().selected ? ["weigh", "edit"] : [])]) jobs.cancelAll(key);
    if (!getState().base.own.some((model) => model.id === id)) forget(id);
  }

  /** Wildcards and styles. @param {File[]} files */
  async function useTemplates(files) {
    try {
      send({ type: "templates/changed", change: await (await fillers()).opened(files, client) });
    } catch (thrown) {
      raise(t("error.not_opened"), thrown);
    }
  }

  /** @param {File} file */
  function useFile(file) {
    useModel(keepNew("model", file), file.name, "file");
  }

  /** Makes the user's own model the base model. @param {string} id @param {string} name @param {"file" | "folder"} kind */
  function useModel(id, name, kind) {
    if (!getState().base.own.some((model) => model.id === id)) send({ type: "model/added", model: { id, name, kind } });
    send({ type: "model/chosen", id });
    scrollTo("run");
  }

  /** A model that lies elsewhere: what it needs comes from there, piece by piece. @param {string} text */
  async function useFarModel(text) {
    send({ type: "model/asking" });
    try {
      const found = await farModel(text, (address) => reach.size(address));
      if ("files" in found) useModel(keepFolder(found.files), found.name, "folder");
      else useModel(keepRemote(found.file), found.name, "file");
      send({ type: "model/answered", error: null });
    } catch (thrown) {
      send({ type: "model/answered", error: asError(thrown) });
    }
  }

  /** The chosen model, opened ahead of the first image; what goes wrong is a remark already. */
  async function openChosen() {
    await gpuKnown;
    const { gpu, base, demo } = getState();
    if (gpu.status !== "ready" || (base.chosen === "demo" && demo.status !== "ready")) return;
    await runner.openAhead().catch((thrown) => asError(thrown).kind === "crashed" && raise(t("error.engine"), thrown));
  }

  const countSoon = debounced(200, async () => {
    const { form, base } = getState();
    if (!base.info || client.model !== modelKey(getState())) return;
    const counted = await client.countTokens(form.prompt, form.program, form.steps).catch(() => null);
    if (counted) send({ type: "tokens/counted", tokens: { used: counted[0], room: counted[1] } });
  });

  const redrawSoon = debounced(250, () => {
    if (canRedraw(getState())) runner.redraw();
  });

  /** @param {string} id @param {File} file @param {boolean} select */
  function addEntry(id, file, select) {
    const entry = { id, name: file.name, size: file.size, report: null, fixes: [], error: null, done: 0, secondsLeft: null };
    send({ type: "files/added", entry: { ...entry, status: "reading" }, select });
  }

  /**
   * A demo LoRA as a read entry, downloaded when it is not there yet.
   * @param {string} id @param {boolean} select
   */
  async function bringLora(id, select) {
    const lora = getState().demo.catalogue?.loras.find(({ file }) => id === `demo:${file}`);
    if (!lora) return;
    const file = fileOf(id) ?? (await fetchLora(lora));
    keep(id, file);
    if (!getState().files.some((entry) => entry.id === id)) addEntry(id, file, select);
    else if (select) send({ type: "files/select", id });
    if (getState().files.find((entry) => entry.id === id)?.status !== "read") await looking.read([id]);
  }

  /** The first demo LoRA's report, and the model made ready for its image. */
  async function tryDemo() {
    if (!getState().demo.catalogue) await listDemo();
    const { catalogue } = getState().demo;
    if (!catalogue) return;
    const id = `demo:${catalogue.loras[0].file}`;
    send({ type: "model/chosen", id: "demo" });
    try {
      if (getState().files.some((entry) => entry.id === id)) send({ type: "files/select", id });
      else await bringLora(id, true);
      await gpuKnown;
      const { gpu, result } = getState();
      if (gpu.status !== "ready") return;
      await runner.openAhead();
      if (!gpu.info.software && !result) await runner.generate(); // a graphics card draws it in a moment
    } catch (thrown) {
      raise(t("error.demo"), thrown);
    }
  }

  /** @param {string} id */
  async function openDemoLora(id) {
    try {
      if (getState().files.some((entry) => entry.id === id)) send({ type: "files/select", id });
      else await bringLora(id, true);
      scrollTo("look");
    } catch (thrown) {
      raise(t("error.demo_lora"), thrown);
    }
  }

  async function listDemo() {
    try {
      send({ type: "demo/listed", catalogue: await fetchCatalogue() });
    } catch (thrown) {
      raise(t("error.demo_list"), thrown);
    }
  }

  async function findGpu() {
    try {
      if (!hasWebGpu()) throw { kind: "no_webgpu", message: t("error.no_webgpu") };
      send({ type: "gpu/known", gpu: { status: "ready", info: await client.gpu() } });
    } catch (thrown) {
      send({ type: "gpu/known", gpu: { status: "missing", error: asError(thrown) } });
    }
  }

  /** @param {() => Promise<void>} write @param {string} what */
  async function copy(write, what) {
    try {
      await write();
      send({ type: "text/copied", what });
    } catch (thrown) {
      raise(t("error.not_copied", { what }), thrown);
    }
  }

  /** Says that a file was saved, or why not. @param {() => string | null | undefined | Promise<string | null | undefined>} save gives its name, if there is something to save */
  async function saved(save) {
    try {
      const name = await save();
      if (name) send({ type: "file/saved", name });
    } catch (thrown) {
      raise(t("error.not_saved"), thrown);
    }
  }

  /** @param {number} id of a toast */
  function expire(id) {
    setTimeout(() => send({ type: "toast/expired", id }), TOAST);
  }

  /** @param {string} title @param {unknown} thrown */
  function raise(title, thrown) {
    if (isCancelled(thrown)) return; // whoever cancelled it knows
    send({ type: "notice/raised", title, message: asError(thrown).message });
  }

  /** An image's settings, back in the form. @param {number} id */
  function useSettings(id) {
    const drawing = drawingOf(getState(), id);
    const found = drawing && restored(getState(), t("restore.image"), { ...NOTHING_SAID, recipe: drawing.recipe }, t("restore.choose_again"));
    if (found) send({ type: "restored", ...found });
    scrollTo("run");
  }

  const listed = listDemo();
  const gpuKnown = findGpu();
  const session = createSession({ send, getState });
  const resumed = listed.then(session.restore);
  const links = createLinks({ send, getState, listed: resumed, bringLora, show: scrollTo, focus: focusOn, raise });
  void links.open();

  return (action) => {
    looking.act(action);
    shelf(action);
    session.keepSoon();
    switch (action.type) {
      case "app/update":
        return app.update();
      case "app/reload":
        return reload();
      case "session/reopen":
        return void session.reopen();
      case "session/forget":
        return void session.forget();
      case "app/install":
        return void app.install();
      case "demo/open":
        return void openDemoLora(action.id);
      case "demo/ready":
        return app.keepDemo();
      case "files/dropped":
        return void addFiles(action).catch((thrown) => raise(t("error.not_opened"), thrown));
      case "files/pick":
        return void pickFiles().then((files) => files?.length && send({ type: "files/dropped", files, folders: [], place: "" }), (thrown) => raise(t("error.not_opened"), thrown));
      case "demo/try":
        return void tryDemo();
      case "templates/unfolded":
        return void loadView().then(() => send({ type: "templates/changed", change: { unfolded: true } }));
      case "templates/picked":
        return void useTemplates(action.files);
      case "templates/close":
        return void fillers().then(({ closed }) => send({ type: "templates/changed", change: closed() }));
      case "model/picked":
        return useFile(action.file);
      case "model/used":
        return useModel(action.id, getState().files.find(({ id }) => id === action.id)?.name ?? "", "file");
      case "model/far":
        return void useFarModel(action.text);
      case "vae/picked":
        return send({ type: "vae/taken", vae: { id: keepNew("vae", action.file), name: action.file.name } });
      case "vae/taken":
      case "model/chosen":
      case "model/failed":
        return void openChosen();
      case "start/picked":
        return startFrom(action.file);
      case "mask/picked":
        return send({ type: "mask/taken", mask: keptImage(action.file) });
      case "files/read":
      case "model/added":
        return links.goOn();
      case "link/apply":
        return void links.apply();
      case "history/use":
        return useSettings(action.id);
      case "history/save":
        return void saved(() => saveHistory(getState().history));
      case "image/save":
        return void saved(() => saveDrawing(action.drawing));
      case "image/copy":
        return void copy(() => copyImage(imageFile(action.drawing)), t("tools.the_image"));
      case "image/start":
      case "image/inpaint":
        return sendOn(action);
      case "prompt/selected":
        return selectText(action.field, action.text, action.start, action.end);
      case "files/close":
        return closeFile(action.id);
      case "grid/draw":
        return runner.generateGrid();
      case "grid/download":
        return void saved(() => saveGrid(getState().grid));
      case "restored":
        countSoon();
        return void openChosen();
      case "model/ready":
      case "run/done":
        return countSoon();
      case "form/changed":
        countSoon();
        return redrawSoon();
      case "row/changed":
      case "blocks/edited":
        return redrawSoon();
      case "run/generate":
        return void runner.generate();
      case "run/cancel":
        return runner.cancel();
      case "job/cancel":
        return jobs.cancel(action.id);
      case "bench/run":
        return benching.run();
      case "bench/stop":
        return benching.stop();
      case "bench/save":
        return void saved(() => benching.save(getState().bench));
      case "run/skip_tuning":
        return void client.skipTuning().catch(() => {});
      case "text/copy":
        return void copy(() => copyText(action.text), action.what);
      case "text/copied":
      case "file/saved":
        return expire(getState().toasts.at(-1)?.id ?? 0);
    }
  };
}

/** A function that runs once calls have ceased for a while. @param {number} ms @param {() => void} act */
function debounced(ms, act) {
  /** @type {number | undefined} */
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(act, ms);
  };
}
