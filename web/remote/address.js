/** What a person types or pastes as an address -> the address of a file, and what reads it. */

import workerAddress from "./remote-worker.js?worker&url";
import { Bridge } from "../core/rpc.js";
import { language, t } from "../words.js";
import { ownWorker } from "../world.js";

/** @typedef {{ address: string, name: string, size: number }} Remote */

/**
 * The file's own address: sites show a page about a file under another one.
 * @param {string} text
 * @returns {{ address: string, name: string }}
 */
export function fileAddress(text) {
  const typed = text.trim();
  const url = URL.parse(/^[a-z]+:/i.test(typed) ? typed : `https://${typed}`);
  if (!url || !["https:", "http:"].includes(url.protocol) || !url.host.includes(".")) {
    throw { kind: "address", message: t("address.none", { typed }) };
  }
  if (url.host === "huggingface.co" || url.host === "hf.co") url.pathname = url.pathname.replace(/^(\/(?:datasets\/)?[^/]+\/[^/]+)\/blob\//, "$1/resolve/");
  const name = decodeURIComponent(url.pathname.split("/").at(-1) ?? "");
  if (!name) throw { kind: "address", message: t("address.page", { address: url.href }) };
  return { address: url.href, name };
}

/** The worker that may ask other servers, started when it is first needed. */
export class Reach {
  #bridge;

  /** @param {() => void} onCrash told that all ports are closed */
  constructor(onCrash) {
    this.#bridge = new Bridge(() => ownWorker(workerAddress, language()), {
      onCrash,
      says: { crashed: (message) => t("worker.failed", { message }), notLoaded: () => t("worker.not_loaded") },
    });
  }

  /** How long the file at an address is. @param {string} address @returns {Promise<number>} */
  size(address) {
    return this.#bridge.repeated(() => this.#bridge.call("size", { address }));
  }

  /** A port through which the file's bytes are asked for. @param {string} address @returns {MessagePort} */
  port(address) {
    const { port1, port2 } = new MessageChannel();
    this.#bridge.call("connect", { address, port: port2 }, { transfer: [port2] }).catch(() => {}); // the first read says it
    return port1;
  }
}
