/**
 * A web address -> its length, and byte ranges of it.
 *
 * The one part of the page that can ask another server. Its worker comes from its own file and not from a blob, so that
 * the page's Content-Security-Policy, which forbids every foreign address, does not bind it; it starts when a person
 * opens an address, asks for that one only, and sends neither cookies nor where it comes from.
 */

import { t, useLanguage } from "../words.js";
import { asError } from "./protocol.js";

const scope = /** @type {DedicatedWorkerGlobalScope} */ (/** @type {unknown} */ (self));

/** The page names its language when it starts this worker. */
const speaking = useLanguage(scope.name || "en").catch(() => {});

/** `{id, address}` is answered with `{id, size}` or `{id, error}`; `{address, port}` gives a port that ranges are asked through. */
scope.onmessage = async ({ data: { id, address, port } }) => {
  await speaking;
  if (port) return serve(address, port);
  try {
    scope.postMessage({ id, size: await sizeOf(address) });
  } catch (thrown) {
    scope.postMessage({ id, error: asError(thrown) });
  }
};

/** @param {string} address @param {MessagePort} port */
function serve(address, port) {
  port.onmessage = async ({ data: { id, start, end } }) => {
    try {
      const bytes = new Uint8Array(await (await range(address, start, end)).arrayBuffer());
      port.postMessage({ id, bytes }, [bytes.buffer]);
    } catch (thrown) {
      port.postMessage({ id, error: asError(thrown) });
    }
  };
}

/** @param {string} address */
async function sizeOf(address) {
  const first = await range(address, 0, 1);
  const total = first.headers.get("content-range")?.split("/")[1] ?? (await ask(address, { method: "HEAD" })).headers.get("content-length");
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
  try {
    return await fetch(address, { ...how, credentials: "omit", referrerPolicy: "no-referrer" });
  } catch {
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
