/** The headers of a training run's files -> the losses that they tell, as lines of a chart. */

/** @typedef {{ name: string, values: (number | null)[] }} Line one value per file */

/** A header longer than this is none. */
const MOST_HEADER = 100e6;
/** Names that speak of a loss. */
const LOSS = /(^|[^a-z])loss(es)?($|[^a-z])/i;

/** The metadata of a safetensors file; nothing of other files. @param {File} file @returns {Promise<unknown>} */
export async function metadataOf(file) {
  const head = await file.slice(0, 8).arrayBuffer();
  const length = head.byteLength === 8 ? Number(new DataView(head).getBigUint64(0, true)) : 0;
  if (length < 2 || length > MOST_HEADER || length > file.size) return {};
  try {
    return JSON.parse(await file.slice(8, 8 + length).text())["__metadata__"] ?? {};
  } catch {
    return {};
  }
}

/**
 * All numbers of a header, those of JSON in it as `key.name`. Pure.
 * @param {unknown} metadata @returns {Record<string, number>}
 */
export function numbersOf(metadata) {
  const found = Object.entries(/** @type {Record<string, unknown>} */ (metadata ?? {})).flatMap(([key, value]) => {
    const text = String(value).trim();
    if (text.startsWith("{")) return nested(key, text);
    const number = Number(text);
    return text && Number.isFinite(number) ? [[key, number]] : [];
  });
  return Object.fromEntries(found);
}

/** @param {string} key @param {string} text @returns {[string, number][]} */
function nested(key, text) {
  try {
    const numbers = Object.entries(JSON.parse(text)).filter(([, value]) => typeof value === "number");
    return numbers.map(([name, value]) => [`${key}.${name}`, /** @type {number} */ (value)]);
  } catch {
    return [];
  }
}

/**
 * What is called a loss in the headers and differs between the files; settings are the same in all. Pure.
 * @param {unknown[]} headers
 * @returns {Line[]}
 */
export function lossesOf(headers) {
  const numbers = headers.map(numbersOf);
  const names = [...new Set(numbers.flatMap((each) => Object.keys(each)))].filter((name) => LOSS.test(name));
  return names
    .map((name) => ({ name, values: numbers.map((each) => each[name] ?? null) }))
    .filter(({ values }) => new Set(values.filter((value) => value !== null)).size > 1);
}
