/**
 * Requests of the page -> kept files: page and inspector as one version, engine and demo once they were
 * used. Files shared with the app -> the page.
 */

import { cleanupOutdatedCaches, precacheAndRoute } from "workbox-precaching";
import { registerRoute } from "workbox-routing";
import { scopedName } from "./core/scope.js";

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** Every file of dist/; the build puts the list here. @type {{ url: string, revision: string | null }[]} */
const files = /** @type {any} */ (self).__WB_MANIFEST;
const isDemo = (/** @type {{ url: string }} */ { url }) => url.startsWith("demo/") && url !== "demo/demo.json";
/** The engine is kept once images were generated with it. */
const isEngine = (/** @type {{ url: string }} */ { url }) => /^assets\/engine/.test(url);
/** Texts in languages other than English are kept once they are used. */
const isLanguage = (/** @type {{ url: string }} */ { url }) => /^assets\/(de|zh)-/.test(url);
const isLazy = (/** @type {{ url: string }} */ file) => isDemo(file) || isLanguage(file) || isEngine(file);

/** Where the demo, other languages and shared files are kept. app.js reads the second. */
const { pathname } = new URL(scope.registration.scope);
const DEMO = scopedName("demo", pathname);
const SHARED = scopedName("shared", pathname);

cleanupOutdatedCaches();
precacheAndRoute(
  files.filter((file) => !isLazy(file)),
  { ignoreURLParametersMatching: [/^shared$/], cleanURLs: false },
);

/** Addresses of the demo's files -> the keys that they are kept under: another revision is another key. */
const keys = new Map(
  files.filter(isLazy).map(({ url, revision }) => {
    const { href } = new URL(url, scope.registration.scope);
    return [href, `${href}?revision=${revision}`];
  }),
);

registerRoute(
  ({ url }) => keys.has(url.href),
  async ({ url, event }) => {
    const cache = await caches.open(DEMO);
    const key = keys.get(url.href) ?? "";
    const kept = await cache.match(key);
    if (kept) return kept;
    const response = await fetch(url.href);
    // A full disk keeps nothing, and the demo is there all the same.
    if (response.ok) event.waitUntil(cache.put(key, response.clone()).catch(() => {}));
    return response;
  },
);

registerRoute(
  ({ url }) => url.href === new URL("share", scope.registration.scope).href,
  async ({ request }) => {
    const shared = (await request.formData()).getAll("files").filter((part) => part instanceof File);
    const cache = await caches.open(SHARED);
    await Promise.all(
      shared.map((file, at) => cache.put(`shared/${at}/${encodeURIComponent(file.name)}`, new Response(file))),
    );
    return Response.redirect(new URL("./?shared", scope.registration.scope).href, 303);
  },
  "POST",
);

/** What the demo lacks here: it was used before this worker was there. */
async function keepDemo() {
  const cache = await caches.open(DEMO);
  const kept = new Set((await cache.keys()).map(({ url }) => url));
  for (const [address, key] of keys) {
    if (kept.has(key) || !address.includes("/demo/")) continue;
    const response = await fetch(address);
    if (response.ok) await cache.put(key, response);
  }
}

/** Files of a demo that is no longer this one. */
async function dropOldDemo() {
  const cache = await caches.open(DEMO);
  const wanted = new Set(keys.values());
  const old = (await cache.keys()).filter(({ url }) => !wanted.has(url));
  await Promise.all(old.map((request) => cache.delete(request)));
}

scope.addEventListener("activate", (event) => event.waitUntil(Promise.all([scope.clients.claim(), dropOldDemo()])));

scope.addEventListener("message", (event) => {
  if (event.data?.type === "SKIP_WAITING") void scope.skipWaiting(); // only ever at the user's wish
  if (event.data?.type === "KEEP_DEMO") event.waitUntil(keepDemo().catch(() => {})); // offline: the next time
});
