/** Numbers -> words of the page's language: sizes, times, counts. */

import { language, t } from "../words.js";

/** 251616 -> "252 KB". @param {number} bytes */
export function formatBytes(bytes) {
  if (bytes < 1000) return t("n.byte", { n: bytes });
  const units = ["KB", "MB", "GB", "TB"];
  let value = bytes;
  let unit = "";
  for (unit of units) {
    value /= 1000;
    if (value < 999.5) break;
  }
  return `${formatFixed(value, value < 9.95 ? 1 : 0)} ${unit}`;
}

/** 75 -> "1 min 15 s". @param {number} seconds */
export function formatSeconds(seconds) {
  if (seconds < 1) return t("time.instant");
  const whole = Math.round(seconds);
  if (whole < 60) return t("time.s", { s: whole });
  if (whole < 3600) return t("time.min", { min: Math.floor(whole / 60), s: whole % 60 });
  return t("time.h", { h: Math.floor(whole / 3600), min: Math.floor((whole % 3600) / 60) });
}

/** Three significant digits, no trailing zeros. @param {number} value */
export function formatNumber(value) {
  if (!Number.isFinite(value)) return String(value);
  return pointed(String(Number.isInteger(value) ? value : Number(value.toPrecision(3))));
}

/** 0.5 -> "0.50". @param {number} value @param {number} [digits] after the point */
export function formatFixed(value, digits = 2) {
  return pointed(value.toFixed(digits));
}

/** 1234 -> "1,234". @param {number} count */
export function formatCount(count) {
  return count.toLocaleString(language());
}

/** [8, 4, 8] -> "4, 8"; long lists are cut in the middle. @param {number[]} values */
export function formatValues(values) {
  const distinct = [...new Set(values)].sort((a, b) => a - b).map(formatNumber);
  if (distinct.length <= 5) return distinct.join(language() === "de" ? "; " : ", ");
  return t("values.span", { least: distinct[0], most: distinct[distinct.length - 1], n: distinct.length });
}

/** @param {string} number */
function pointed(number) {
  return language() === "de" ? number.replace(".", ",") : number;
}

/** Percent signs decoded, where they are an encoding. @param {string} text */
export function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
