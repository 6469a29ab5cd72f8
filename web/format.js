/** Numbers -> words: sizes, times, counts. */

/** 251616 -> "252 KB". @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < 1000) return plural(bytes, "byte");
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = "";
  for (unit of units) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return `${value < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

/** 75 -> "1 min 15 s". @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 1) return "less than a second";
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** Three significant digits, no trailing zeros. @param {number} value */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return String(value);
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(3)));
}

/** 1, "module" -> "1 module"; 2 -> "2 modules". @param {number} count @param {string} noun @param {string} [nouns] */
export function plural(count, noun, nouns = `${noun}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? noun : nouns}`;
}

/** [8, 4, 8] -> "4, 8"; long lists are cut in the middle. @param {number[]} values */
export function formatValues(values) {
  const distinct = [...new Set(values)].sort((a, b) => a - b).map(formatNumber);
  if (distinct.length <= 5) return distinct.join(", ");
  return `${distinct[0]} to ${distinct[distinct.length - 1]} (${distinct.length} values)`;
}
