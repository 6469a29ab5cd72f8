/**
 * What the two workers outside the page's Content-Security-Policy may ask: one origin, which they are told at their
 * start. Pure.
 */

import { t } from "../words.js";

/**
 * `origin`: the only one that is asked, "" for none; `typed`: a person typed the address.
 * @typedef {{ language: string, origin: string, typed: boolean }} Bounds
 */

/** Names that end so are of the user's own network, and so is a name without a dot. */
const LOCAL_NAMES = /^(localhost|[^.]*|.*\.(localhost|local|lan|home|internal|home\.arpa))\.?$/i;
/**
 * Addresses of the same machine, of private networks, of links, and of carriers' own networks (RFC 1918, 3927, 6598).
 */
const LOCAL_IPV4 =
  /^(?=(\d+\.){3}\d+$)(0|10|127|169\.254|192\.168|172\.(1[6-9]|2\d|3[01])|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./;
/** The same of IPv6, and IPv4 inside it (RFC 4193, 4291). */
const LOCAL_IPV6 = /^\[(::|f[cd]|fe[89ab]|::ffff:)/i;

/** Whether a host is of the user's own machine or network. @param {string} host a URL's hostname */
export function isPrivate(host) {
  return host.startsWith("[") ? LOCAL_IPV6.test(host) : LOCAL_NAMES.test(host) || LOCAL_IPV4.test(host);
}

/**
 * Why an address is not asked, "" if it may be. A page that is itself of the user's own network, or came by http, may
 * do the same.
 * @param {URL} url @param {boolean} typed @param {{ protocol: string, hostname: string }} page the page's own address
 */
export function refusal(url, typed, page) {
  if (!["https:", "http:"].includes(url.protocol)) return t("address.none", { typed: url.href });
  if (url.username || url.password) return t("address.password");
  if (url.protocol === "http:" && page.protocol === "https:") return t("address.insecure", { host: url.host });
  if (!typed && isPrivate(url.hostname) && !isPrivate(page.hostname)) return t("address.private", { host: url.host });
  return "";
}

/** A worker's name holds its bounds. @param {Bounds} bounds */
export function nameOf(bounds) {
  return JSON.stringify(bounds);
}

/**
 * The bounds that a worker was started with; without a name it may ask nothing.
 * @param {string} name
 * @returns {Bounds}
 */
export function boundsOf(name) {
  try {
    const { language, origin, typed } = JSON.parse(name);
    return { language: String(language), origin: String(origin), typed: typed === true };
  } catch {
    return { language: "en", origin: "", typed: false };
  }
}

/**
 * Throws for an address that is out of a worker's bounds.
 * @param {string} address
 * @param {Bounds} bounds
 * @param {{ protocol: string, hostname: string }} page
 */
export function within(address, { origin, typed }, page) {
  const url = new URL(address);
  const why = url.origin === origin ? refusal(url, typed, page) : t("address.other", { host: url.host });
  if (why) throw { kind: "address", message: why };
}
