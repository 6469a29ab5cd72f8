/** What a person types or pastes as an address -> the address of a file, and what reads it. */

import reachAddress from "./engine/reach.js?worker&url";
import { asError } from "./engine/protocol.js";
import { language, t } from "./words.js";

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

/** Starts the worker that may ask other servers when it is first needed. */
export class Reach {
  /** @type {Worker | null} */
  #worker = null;
  /** @type {Map<number, { resolve: (size: number) => void, reject: (error: unknown) => void }>} */
  #waiting = new Map();
  #count = 0;

  /** How long the file at an address is. @param {string} address @returns {Promise<number>} */
  size(address) {
    const id = ++this.#count;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#started().postMessage({ id, address });
    });
  }

  /** A port through which the file's bytes are asked for. @param {string} address @returns {MessagePort} */
  port(address) {
    const { port1, port2 } = new MessageChannel();
    this.#started().postMessage({ address, port: port2 }, [port2]);
    return port1;
  }

  #started() {
    if (this.#worker) return this.#worker;
    const worker = new Worker(new URL(reachAddress, location.href), { type: "module", name: language() });
    worker.onmessage = ({ data: { id, size, error } }) => {
      const asked = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) asked?.reject(asError(error));
      else asked?.resolve(size);
    };
    this.#worker = worker;
    return worker;
  }
}
