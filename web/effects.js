/** Actions -> everything that touches the world: the engine, downloads, the clipboard. Each answers with further actions. */

import { fetchCatalogue, fetchLora } from "./demo.js";
import { asError } from "./engine/protocol.js";
import { createRunner } from "./runner.js";
import { keep, keepDropped, keptOf } from "./library.js";
import { plural } from "./format.js";

/** @typedef {import("./types.d.ts").Action} Action */
/** @typedef {import("./types.d.ts").State} State */

/**
 * @param {{ client: import("./engine/client.js").EngineClient, send: import("./types.d.ts").Send, getState: () => State }} world
 * @returns {(action: Action) => void}
 */
export function createEffects({ client, send, getState }) {
  const runner = createRunner({ client, send, getState, bringLora });

  /** Reads one file; its entry says how it went. @param {string} id */
  async function inspect(id) {
    const kept = keptOf(id);
    if (!kept) return;
    try {
      send({ type: "files/read", id, report: await client.inspect(kept.file, kept.config) });
    } catch (thrown) {
      send({ type: "files/failed", id, error: asError(thrown) });
    }
  }

  /** @param {File[]} dropped @param {number} folders */
  async function addFiles(dropped, folders) {
    if (folders) {
      const title = "Folders are not opened";
      send({ type: "notice/raised", title, message: `${plural(folders, "folder")} left out. Open the folder and drop the files in it.` });
    }
    const entries = await keepDropped(dropped);
    for (const { id, file } of entries) addEntry(id, file, true);
    for (const { id } of entries) await inspect(id);
  }

  /** @param {string} id @param {File} file @param {boolean} select */
  function addEntry(id, file, select) {
    const entry = { id, name: file.name, size: file.size, report: null, error: null };
    send({ type: "files/added", entry: { ...entry, status: "reading" }, select });
  }

  /**
   * A demo LoRA as a read entry, downloaded when it is not there yet.
   * @param {string} id @param {boolean} select
   */
  async function bringLora(id, select) {
    const lora = getState().demo.catalogue?.loras.find(({ file }) => id === `demo:${file}`);
    if (!lora) return;
    const file = keptOf(id)?.file ?? (await fetchLora(lora));
    keep(id, file);
    addEntry(id, file, select);
    await inspect(id);
  }

  /** The first demo LoRA's report, and the model made ready for its picture. */
  async function tryDemo() {
    if (!getState().demo.catalogue) await listDemo();
    const { catalogue } = getState().demo;
    if (!catalogue) return;
    const id = `demo:${catalogue.loras[0].file}`;
    try {
      if (getState().files.some((entry) => entry.id === id)) send({ type: "files/selected", id });
      else await bringLora(id, true);
      await gpuKnown;
      if (getState().gpu.status === "ready") await runner.openModel();
    } catch (thrown) {
      raise("The demo could not be opened", thrown);
    }
  }

  async function listDemo() {
    try {
      send({ type: "demo/listed", catalogue: await fetchCatalogue() });
    } catch (thrown) {
      raise("The demo could not be listed", thrown);
    }
  }

  async function findGpu() {
    try {
      if (!navigator.gpu) throw { kind: "no_webgpu", message: "This browser offers no WebGPU." };
      send({ type: "gpu/known", gpu: { status: "ready", info: await client.gpu() } });
    } catch (thrown) {
      send({ type: "gpu/known", gpu: { status: "missing", error: asError(thrown) } });
    }
  }

  /** @param {string} text @param {string} what */
  async function copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
    } catch (thrown) {
      raise(`${what} could not be copied`, thrown);
    }
  }

  /** @param {string} title @param {unknown} thrown */
  function raise(title, thrown) {
    send({ type: "notice/raised", title, message: asError(thrown).message });
  }

  void listDemo();
  const gpuKnown = findGpu();

  return (action) => {
    switch (action.type) {
      case "files/dropped":
        return void addFiles(action.files, action.folders);
      case "demo/try":
        return void tryDemo();
      case "run/generate":
        return void runner.generate();
      case "run/cancel":
        return runner.cancel();
      case "result/downloaded":
        return saveResult(getState().result, action.which);
      case "text/copied":
        return void copy(action.text, action.what);
    }
  };
}

/** @param {State["result"]} result @param {"without" | "with"} which */
function saveResult(result, which) {
  const picture = result?.[which];
  if (!result || !picture) return;
  const { prompt, seed, adapters } = result.recipe;
  const lora = which === "with" && adapters[0] ? `${result.lora} ${adapters[0].strength}` : "no LoRA";
  const name = `${prompt} seed ${seed} ${lora}`.replace(/[^\p{L}\p{N}.+-]+/gu, "_").slice(0, 100);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([picture.png], { type: "image/png" }));
  link.download = `${name}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
