/** The page as an app: kept for offline use, brought up to date at the user's wish, installed, opened with files. */

import { Workbox } from "workbox-window";
import { scoped } from "../core/scope.js";
import { remember } from "../library/handles.js";
import { language } from "../words.js";
import { isOutdated, reload, scriptAddress, savesData, serviceWorkers, tookQuery } from "../world.js";

/** Where sw.js puts what was shared. */
const SHARED = scoped("shared");

/**
 * The browser's offer to install the page; not yet in TypeScript's library.
 * @typedef {Event & { prompt: () => Promise<unknown> }} InstallOffer
 */

/** The page as an app. */
export class App {
  #send;
  #workers = serviceWorkers();
  #worker;
  /** @type {InstallOffer | null} */
  #offer = null;
  #updating = false;
  #controlled;

  #keepWork;
  /** Whether it is asked for a newer version. */
  #asking = false;

  /**
   * @param {{ send: import("../types.d.ts").Send, keepWork: () => Promise<void> }} world `keepWork` stores the work for
   * the page that is loaded next
   */
  constructor({ send, keepWork }) {
    this.#send = send;
    this.#keepWork = keepWork;
    this.#worker = import.meta.env.PROD && this.#workers ? new Workbox(scriptAddress("./sw.js")) : null;
    this.#controlled = Boolean(this.#workers?.controller);
    this.#workers?.addEventListener?.("controllerchange", () => {
      if (this.#controlled && !this.#updating) this.#send({ type: "app/changed", change: { stale: "other_tab" } });
      this.#controlled = true;
    });
    this.#worker?.addEventListener("waiting", () => this.#send({ type: "app/changed", change: { update: true } }));
    this.#worker?.addEventListener("activated", () => this.#send({ type: "app/changed", change: { offline: true } }));
    if (this.#workers?.controller) this.#send({ type: "app/changed", change: { offline: true } });
    // Without one (private windows, plain http) the page works, but for offline.
    this.#worker?.register().catch(() => {});
    addEventListener("beforeinstallprompt", (event) => {
      event.preventDefault();
      this.#offer = /** @type {InstallOffer} */ (event);
      this.#send({ type: "app/changed", change: { installable: true } });
    });
    addEventListener("appinstalled", () => {
      this.#send({ type: "app/changed", change: { installable: false } });
      this.#keep("demo", "engine");
    });
    // Files that were opened with the installed app.
    /** @type {any} */
    (window).launchQueue?.setConsumer(async (/** @type {{ files?: FileSystemFileHandle[] }} */ { files = [] }) => {
      this.#open(await Promise.all(files.map(async (handle) => remember(await handle.getFile(), handle))));
    });
    if (tookQuery("?shared")) void this.#openShared();
    const installed = matchMedia("(display-mode: standalone)").matches;
    this.#keep(language(), ...(installed ? ["demo", "engine"] : []));
  }

  async #openShared() {
    const cache = await caches.open(SHARED);
    const requests = await cache.keys();
    const files = requests.map(async (request) => {
      const blob = await (await cache.match(request))?.blob();
      return new File([blob ?? ""], decodeURIComponent(request.url.split("/").at(-1) ?? ""));
    });
    this.#open(await Promise.all(files));
    await caches.delete(SHARED);
  }

  /** @param {File[]} files */
  #open(files) {
    if (files.length) this.#send({ type: "files/dropped", files, folders: [], place: "" });
  }

  /**
   * Parts of the page that were fetched before the service worker was there, or will be needed, are kept as well.
   * @param {string[]} parts
   */
  #keep(...parts) {
    const workers = this.#workers;
    if (!workers || savesData()) return;
    whenIdle(async () => (await workers.ready).active?.postMessage({ type: "KEEP", parts }));
  }

  async #install() {
    await this.#offer?.prompt();
    this.#offer = null;
    this.#send({ type: "app/changed", change: { installable: false } });
  }

  /** The other version takes over, and only this tab is loaded again. */
  #update() {
    this.#updating = true;
    this.#worker?.addEventListener("controlling", () => void this.#reload());
    this.#worker?.messageSkipWaiting();
  }

  async #reload() {
    await this.#keepWork();
    reload();
  }

  /** A part that does not load may be gone with the version that this page is of. */
  async #lookForNewer() {
    if (this.#asking) return;
    this.#asking = true;
    if (await isOutdated()) {
      // A page that is kept would be loaded from there again: its service worker has to be a newer one first.
      const kept = await this.#workers?.getRegistration().catch(() => undefined);
      await kept?.update().catch(() => {});
      if (!kept?.installing && !kept?.waiting) this.#send({ type: "app/changed", change: { stale: "published" } });
    }
    this.#asking = false;
  }

  /** @param {import("../types.d.ts").Action} action */
  act(action) {
    switch (action.type) {
      case "app/update":
        return this.#update();
      case "app/reload":
        return void this.#reload();
      case "part/missing":
        return void this.#lookForNewer();
      case "app/install":
        return void this.#install();
      case "demo/ready":
        return this.#keep("demo", "engine");
      case "language/changed":
        return this.#keep(action.language);
      case "files/read":
      case "model/ready":
        return this.#keep("engine");
    }
  }
}

/** @param {() => void} act */
function whenIdle(act) {
  if ("requestIdleCallback" in window) requestIdleCallback(act, { timeout: 10_000 });
  else setTimeout(act, 10_000);
}
