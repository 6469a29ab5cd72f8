/**
 * A web address -> its length, and byte ranges of it.
 *
 * The one part of the page that can ask another server. Its worker comes from its own file and not from a blob, so that
 * the page's Content-Security-Policy, which forbids every foreign address, does not bind it; it starts when a person
 * opens an address, asks the server that its name says (bounds.js) and no other, and sends neither cookies nor where it
 * comes from.
 */

import { asError } from "../core/errors.js";
import { answer, loaded } from "../core/rpc.js";
import { boundsOf, within } from "./bounds.js";
import { t, useLanguage } from "../words.js";

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

const bounds = boundsOf(scope.name);
const speaking = useLanguage(bounds.language).catch(() => {});

/** Milliseconds without a byte after which a server is given up. */
const SILENCE = 60_000;

answer(scope, {
  size: async ({ address }) => (await speaking, sizeOf(address)),
  connect: ({ address, port }) =>
    answer(
      port,
      { read: ({ start, end }, onProgress) => bytesOf(address, start, end, onProgress) },
      { transferred: (bytes) => [bytes.buffer] },
    ),
});
loaded(scope);

/** @param {string} address @param {number} start @param {number} end @param {(received: number) => void} onProgress */
async function bytesOf(address, start, end, onProgress) {
  const { body } = await range(address, start, end);
  const bytes = new Uint8Array(end - start);
  if (!body) return bytes.subarray(0, 0);
  const reader = body.getReader();
  try {
    for (let at = 0; ; onProgress(at)) {
      const { done, value } = await withinSilence(address, reader.read());
      if (done) return bytes.subarray(0, at);
      if (at + value.byteLength > bytes.byteLength) throw failure(t("far.too_much", { host: hostOf(address) }));
      bytes.set(value, at);
      at += value.byteLength;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @template T @param {string} address @param {Promise<T>} promise @returns {Promise<T>} */
function withinSilence(address, promise) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(
      () => reject(failure(t("far.silent", { host: hostOf(address), seconds: SILENCE / 1000 }))),
      SILENCE,
    );
  });
  return Promise.race([promise, /** @type {Promise<never>} */ (late)]).finally(() => clearTimeout(timer));
}

/** @param {string} address */
async function sizeOf(address) {
  const first = await range(address, 0, 1);
  const total =
    first.headers.get("content-range")?.split("/")[1] ??
    (await ask(address, { method: "HEAD" })).headers.get("content-length");
  if (Number(total) > 0) return Number(total);
  throw failure(t("far.no_length", { host: hostOf(address) }));
}

/** @param {string} address @param {number} start @param {number} end */
async function range(address, start, end) {
  const response = await ask(address, { headers: { range: `bytes=${start}-${end - 1}` } });
  if (response.status === 206) return response;
  response.body?.cancel();
  if (response.status === 200) throw failure(t("far.whole", { host: hostOf(address) }));
  if ([401, 403].includes(response.status)) throw failure(t("far.login", { host: hostOf(address) }));
  if (response.status === 404) throw failure(t("far.missing", { host: hostOf(address) }), "missing");
  throw failure(t("far.answered", { host: hostOf(address), status: response.status }));
}

/** @param {string} address @param {RequestInit} how */
async function ask(address, how) {
  within(address, bounds, new URL(scope.location.href));
  try {
    return await withinSilence(address, fetch(address, { ...how, credentials: "omit", referrerPolicy: "no-referrer" }));
  } catch (thrown) {
    if (asError(thrown).kind === "address") throw thrown;
    throw failure(t("far.unreachable", { host: hostOf(address) }));
  }
}

/** @param {string} address */
function hostOf(address) {
  return new URL(address).host;
}

/** @param {string} message @param {string} [kind] */
function failure(message, kind = "address") {
  return { kind, message };
}
