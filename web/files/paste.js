/** What was pasted -> files to open, or the parameters of an image as the web UIs write them. Pure. */

/** The last line of the parameters names the steps, and more after them. */
const PARAMETERS = /^\s*Steps: \d+, .*\b(Sampler|CFG scale|Seed): /m;

/** @param {string} text */
export function areParameters(text) {
  return text.length < 100_000 && PARAMETERS.test(text);
}

/**
 * A PNG of nothing but one text, as which the engine reads texts: it needs no pixels and no checksums.
 * @param {string} keyword
 * @param {string} text
 * @returns {Uint8Array}
 */
export function pngOfText(keyword, text) {
  const data = new TextEncoder().encode(`${keyword}\0${text}`);
  return new Uint8Array([0x89, ...ascii("PNG\r\n\x1a\n"), ...chunk("tEXt", data), ...chunk("IEND", new Uint8Array())]);
}

/** @param {string} kind @param {Uint8Array} data */
function chunk(kind, data) {
  const size = [24, 16, 8, 0].map((shift) => (data.length >>> shift) & 255);
  return [...size, ...ascii(kind), ...data, 0, 0, 0, 0];
}

/** @param {string} text */
function ascii(text) {
  return [...text].map((letter) => letter.charCodeAt(0));
}
