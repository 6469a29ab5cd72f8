/** The page as an app: kept for offline use, brought up to date at the user's wish, installed, opened with files. */

import { Workbox } from "workbox-window";
import { scoped } from "../core/scope.js";
import { remember } from "../library/handles.js";
import { reload, scriptAddress, savesData, serviceWorkers, tookQuery } from "../world.js";

/** Where sw.js puts what was shared. */
const SHARED = scoped("shared");

/**
 * The browser's offer to install the page; not yet in TypeScript's library.
 * @typedef {Event & { prompt: () => Promise<unknown> }} InstallOffer
 */

/** @param {{ send: import("../types.d.ts").Send }} world */
export function createApp({ send }) {
  const workers = serviceWorkers();
  const worker = import.meta.env.PROD && workers ? new Workbox(scriptAddress("./sw.js")) : null;
  /** @type {InstallOffer | null} */
  let offer = null;

  let updating = false;
  let controlled = Boolean(workers?.controller);
  workers?.addEventListener?.("controllerchange", () => {
    if (controlled && !updating) send({ type: "app/changed", change: { stale: true } });
    controlled = true;
  });

  worker?.addEventListener("waiting", () => send({ type: "app/changed", change: { update: true } }));
  worker?.addEventListener("activated", () => send({ type: "app/changed", change: { offline: true } }));
  if (workers?.controller) send({ type: "app/changed", change: { offline: true } });
  // Without one (private windows, plain http) the page works, but for offline.
  worker?.register().catch(() => {});

  addEventListener("beforeinstallprompt", (event) => {
    event.preventDefault();
    offer = /** @type {InstallOffer} */ (event);
    send({ type: "app/changed", change: { installable: true } });
  });
  addEventListener("appinstalled", () => {
    send({ type: "app/changed", change: { installable: false } });
    keepDemo();
  });

  // Files that were opened with the installed app.
  /** @type {any} */ (window).launchQueue?.setConsumer(
    async (/** @type {{ files?: FileSystemFileHandle[] }} */ { files = [] }) => {
      open(await Promise.all(files.map(async (handle) => remember(await handle.getFile(), handle))));
    },
  );
  if (tookQuery("?shared")) void openShared();
  if (matchMedia("(display-mode: standalone)").matches) whenIdle(keepDemo);

  async function openShared() {
    const cache = await caches.open(SHARED);
    const requests = await cache.keys();
    const files = requests.map(async (request) => {
      const blob = await (await cache.match(request))?.blob();
      return new File([blob ?? ""], decodeURIComponent(request.url.split("/").at(-1) ?? ""));
    });
    open(await Promise.all(files));
    await caches.delete(SHARED);
  }

  /** @param {File[]} files */
  function open(files) {
    if (files.length) send({ type: "files/dropped", files, folders: [], place: "" });
  }

  /**
   * What was downloaded before the service worker was there, or is not used yet in an installed app, is kept as well.
   */
  function keepDemo() {
    if (!savesData()) workers?.ready.then(({ active }) => active?.postMessage({ type: "KEEP_DEMO" }));
  }

  async function install() {
    await offer?.prompt();
    offer = null;
    send({ type: "app/changed", change: { installable: false } });
  }

  /** The other version takes over, and only this tab is loaded again. */
  function update() {
    updating = true;
    worker?.addEventListener("controlling", reload);
    worker?.messageSkipWaiting();
  }

  return { keepDemo, install, update };
}

/** @param {() => void} act */
function whenIdle(act) {
  if ("requestIdleCallback" in window) requestIdleCallback(act, { timeout: 10_000 });
  else setTimeout(act, 10_000);
}
