/** What a person types or pastes as an address -> the address of a file, and what reads it. */

import workerAddress from "./remote-worker.js?worker&url";
import { decoded } from "../core/format.js";
import { Bridge } from "../core/rpc.js";
import { nameOf, refusal } from "./bounds.js";
import { language, t } from "../words.js";
import { ownWorker, pageAddress } from "../world.js";

/** @typedef {{ address: string, name: string, size: number }} Remote */

/** Origins whose addresses a person typed: only they may be of a private network. @type {Set<string>} */
const typedOrigins = new Set();

/**
 * The file's own address: sites show a page about a file under another one.
 * @param {string} text @param {boolean} [linked] it comes from a link, and nobody typed it
 * @returns {{ address: string, name: string }}
 */
export function fileAddress(text, linked = false) {
  const typed = text.trim();
  const url = addressOf(typed, linked);
  if (url.host === "huggingface.co" || url.host === "hf.co")
    url.pathname = url.pathname.replace(/^(\/(?:datasets\/)?[^/]+\/[^/]+)\/blob\//, "$1/resolve/");
  const name = decoded(url.pathname.split("/").at(-1) ?? "");
  if (!name) throw { kind: "address", message: t("address.page", { address: url.href }) };
  return { address: url.href, name };
}

/** A web address that may be asked. @param {string} typed @param {boolean} [linked] @returns {URL} */
export function addressOf(typed, linked = false) {
  const hasScheme = /^[a-z]+:(?!\d)/i.test(typed);
  const whole = hasScheme ? typed : `https://${typed}`;
  const url = URL.canParse(whole) ? new URL(whole) : null;
  if (!url || !(hasScheme || url.port || url.hostname.includes(".")))
    throw { kind: "address", message: t("address.none", { typed }) };
  const why = refusal(url, !linked || typedOrigins.has(url.origin), new URL(pageAddress()));
  if (why) throw { kind: "address", message: why };
  if (!linked) typedOrigins.add(url.origin);
  return url;
}

/** A worker that may ask the one server of an address. @param {string} script @param {string} address "" for none */
export function boundWorker(script, address) {
  const origin = address && new URL(address).origin;
  return ownWorker(script, nameOf({ language: language(), origin, typed: typedOrigins.has(origin) }));
}

/** The workers that ask other servers, one for each, started when it is first needed. */
export class Reach {
  /** By the origins. @type {Map<string, Bridge>} */
  #bridges = new Map();
  #onCrash;
  #onMissing;

  /**
   * @param {() => void} onCrash told that all ports of a worker are closed
   * @param {() => void} onMissing told that a worker's code could not be loaded
   */
  constructor(onCrash, onMissing) {
    this.#onCrash = onCrash;
    this.#onMissing = onMissing;
  }

  /** @param {string} address */
  #bridgeOf(address) {
    const { origin } = new URL(address);
    const bridge =
      this.#bridges.get(origin) ??
      new Bridge(() => boundWorker(workerAddress, address), {
        onCrash: this.#onCrash,
        onMissing: this.#onMissing,
        says: { crashed: (message) => t("worker.failed", { message }), notLoaded: () => t("worker.not_loaded") },
      });
    this.#bridges.set(origin, bridge);
    return bridge;
  }

  /** How long the file at an address is. @param {string} address @returns {Promise<number>} */
  size(address) {
    const bridge = this.#bridgeOf(address);
    return bridge.repeated(() => bridge.call("size", { address }));
  }

  /** A port through which the file's bytes are asked for. @param {string} address @returns {MessagePort} */
  port(address) {
    const { port1, port2 } = new MessageChannel();
    this.#bridgeOf(address)
      .call("connect", { address, port: port2 }, { transfer: [port2] })
      .catch(() => {}); // the first read says it
    return port1;
  }
}
