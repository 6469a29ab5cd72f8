/**
 * Requests of the page -> kept files: page and inspector as one version, engine, demo and languages once they were
 * used or asked for. Files shared with the app -> the page.
 */

import { cleanupOutdatedCaches, precacheAndRoute } from "workbox-precaching";
import { registerRoute } from "workbox-routing";
import { scopedName } from "./core/scope.js";

const scope = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** Every file of dist/; the build puts the list here. @type {{ url: string, revision: string | null }[]} */
const files = /** @type {any} */ (self).__WB_MANIFEST;

/**
 * The part of the page that a file belongs to, if not every visit has it: the demo, the engine or the texts of a
 * language other than English. Each is kept once it is used, or when the page asks for it.
 * @param {{ url: string }} file
 */
function partOf({ url }) {
  if (url.startsWith("demo/") && url !== "demo/demo.json") return "demo";
  if (/^assets\/engine/.test(url)) return "engine";
  return /^assets\/(?:report\.)?(de|zh)-/.exec(url)?.[1] ?? "";
}

/** Where these parts and shared files are kept. app.js reads the second. */
const { pathname } = new URL(scope.registration.scope);
const DEMO = scopedName("demo", pathname);
const SHARED = scopedName("shared", pathname);

cleanupOutdatedCaches();
precacheAndRoute(
  files.filter((file) => !partOf(file)),
  { ignoreURLParametersMatching: [/^shared$/, /^utm_/, /^fbclid$/], cleanURLs: false },
);

/** Addresses of such files -> the keys that they are kept under, another revision under another, and their parts. */
const parts = new Map(
  files.filter(partOf).map((file) => {
    const { href } = new URL(file.url, scope.registration.scope);
    return [href, { key: `${href}?revision=${file.revision}`, part: partOf(file) }];
  }),
);

registerRoute(
  ({ url }) => parts.has(url.href),
  async ({ url, event }) => {
    const cache = await caches.open(DEMO);
    const key = parts.get(url.href)?.key ?? "";
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

/** What is not kept of some parts: it was fetched before this worker was there, or never. @param {string[]} wanted */
async function keep(wanted) {
  const cache = await caches.open(DEMO);
  const kept = new Set((await cache.keys()).map(({ url }) => url));
  for (const [address, { key, part }] of parts) {
    if (kept.has(key) || !wanted.includes(part)) continue;
    const response = await fetch(address);
    if (response.ok) await cache.put(key, response);
  }
}

/** Files of another version. */
async function dropOld() {
  const cache = await caches.open(DEMO);
  const wanted = new Set([...parts.values()].map(({ key }) => key));
  const old = (await cache.keys()).filter(({ url }) => !wanted.has(url));
  await Promise.all(old.map((request) => cache.delete(request)));
}

scope.addEventListener("activate", (event) => event.waitUntil(Promise.all([scope.clients.claim(), dropOld()])));

scope.addEventListener("message", (event) => {
  if (event.data?.type === "SKIP_WAITING") void scope.skipWaiting(); // only ever at the user's wish
  if (event.data?.type === "KEEP") event.waitUntil(keep(event.data.parts).catch(() => {})); // offline: the next time
});
