/** The page's start: store, engine and views are joined here, and nowhere else. */

import { nothing, render } from "lit-html";
import engineAddress from "./engine/engine-worker.js?worker&url";
import inspectorAddress from "./engine/inspector-worker.js?worker&url";
import { EngineClient } from "./engine/engine.js";
import { InspectorClient } from "./engine/inspector.js";
import { Readers } from "./engine/readers.js";
import { Reach } from "./remote/address.js";
import { createEffects } from "./effects.js";
import { startLanguage } from "./app/language.js";
import { initialState, reduce } from "./state.js";
import { createStore } from "./core/store.js";
import { asError, isCancelled } from "./core/errors.js";
import { pageView } from "./app/views/page.js";
import "./ui/elements/drop-zone.js";
import { showsWork } from "./select.js";
import { language, t } from "./words.js";
import { byId, pageAddress, scriptAddress } from "./world.js";

const store = createStore(reduce, initialState);
const reach = new Reach(() => [inspector, engine].forEach((client) => client.disconnect()), missing);
/** @type {InspectorClient} */
const inspector = client(InspectorClient, inspectorAddress, crashed);
/** @type {EngineClient} */
const engine = client(EngineClient, engineAddress, crashed);
const readers = new Readers(inspector, () => client(InspectorClient, inspectorAddress, () => {}));

/** @param {string} message */
function crashed(message) {
  store.send({ type: "notice/raised", title: t("error.engine"), message: message });
}

/** A part of the page could not be loaded. */
function missing() {
  store.send({ type: "part/missing" });
}

/**
 * @template {import("./engine/client.js").Client} Kind
 * @param {new (...args: ConstructorParameters<typeof import("./engine/client.js").Client>) => Kind} Client
 * @param {string} address
 * @param {(message: string) => void} onCrash
 */
function client(Client, address, onCrash) {
  return new Client(
    () => startWorker(address),
    onCrash,
    (place) => reach.port(place),
    missing,
  );
}

/**
 * A worker from a blob obeys this page's Content-Security-Policy: it cannot reach another origin either.
 * @param {string} path
 */
function startWorker(path) {
  const address = new URL(path, pageAddress()).href;
  const source = new Blob([`import ${JSON.stringify(address)};`], { type: "text/javascript" });
  return new Worker(scriptAddress(URL.createObjectURL(source)), { type: "module" });
}

let root = /** @type {HTMLElement} */ (byId("app"));
let drawn = true;
/** The last drawing ended half-way. */
let broken = false;

/**
 * The work place's view, whose code comes with the first file.
 * @type {typeof import("./app/views/work.js").workView | null}
 */
let workView = null;
/** It is on its way. */
let coming = false;

/** The work place, as soon as its code is there. */
function work() {
  const state = store.getState();
  if (!showsWork(state)) return nothing;
  if (workView) return workView(state, store.send);
  if (!coming) void bringWork();
  return nothing;
}

async function bringWork() {
  coming = true;
  try {
    ({ workView } = await import("./app/views/work.js"));
    draw();
  } catch {
    failed(t("error.part"));
  }
  coming = false;
}

/** Many actions in one turn, one drawing. */
function draw() {
  if (!drawn) return;
  drawn = false;
  queueMicrotask(() => {
    drawn = true;
    try {
      drawNow();
    } catch (thrown) {
      console.error(thrown);
      if (broken) sayPlainly();
      broken = true;
      failed(thrown);
    }
  });
}

/** When even the message cannot be drawn. */
function sayPlainly() {
  root.setAttribute("role", "alert");
  root.textContent = `${t("error.page")}.`;
}

/** What was drawn half-way is replaced, once a whole drawing is there. */
function drawNow() {
  const target = broken ? /** @type {HTMLElement} */ (root.cloneNode(false)) : root;
  render(pageView(store.getState(), store.send, work()), target);
  if (target !== root) root.replaceWith(target);
  root = target;
  broken = false;
}

/** Nothing that goes wrong stays unseen. @param {unknown} thrown */
function failed(thrown) {
  const { message } = asError(thrown);
  const known = store.getState().notices.some((notice) => notice.message === message);
  if (!known && !isCancelled(thrown)) store.send({ type: "page/failed", message });
}

addEventListener("error", ({ error, message }) => failed(error ?? message));
addEventListener("vite:preloadError", missing);
addEventListener("unhandledrejection", ({ reason }) => failed(reason));

await startLanguage(() => store.send({ type: "language/changed", language: language() }));
store.subscribe(draw);
draw();
inspector.warm();
const effects = createEffects({ inspector, engine, readers, reach, send: store.send, getState: store.getState });
store.subscribe((_state, action) => effects(action));
