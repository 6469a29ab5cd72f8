/** A text's key and its values -> the text in the language of the page. English is always here; the others are loaded when they are wanted. */

import en from "./words/en.js";

/** @typedef {keyof typeof en} Key */
/** @typedef {{ one: string, other: string }} Forms of a text for one and for other numbers */
/** @typedef {Record<Key, string | Forms>} Texts */
/** @typedef {"en" | "de" | "zh"} Language */
/** @typedef {Record<string, string | number | undefined>} Values `n` decides between the forms, and is written with marks between thousands */

/** Each language as it calls itself. @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", de: "Deutsch", zh: "中文" };

/** @type {Record<Exclude<Language, "en">, () => Promise<{ default: Texts }>>} */
const OTHERS = { de: () => import("./words/de.js"), zh: () => import("./words/zh.js") };

/** @type {Language} */
let current = "en";
/** @type {Texts} */
let texts = en;
let plurals = new Intl.PluralRules("en");

/** The language of the page. */
export function language() {
  return current;
}

/** Another language from now on; the last one stays where its texts cannot be loaded. @param {string} wanted one of LANGUAGES */
export async function useLanguage(wanted) {
  const next = /** @type {Language} */ (wanted);
  texts = next === "en" ? en : (await OTHERS[next]()).default;
  current = next;
  plurals = new Intl.PluralRules(next);
}

/** A text with its values in place. @param {Key} key @param {Values} [values] @returns {string} */
export function t(key, values = {}) {
  return form(key, values).replace(/\{(\w+)\}/g, (_, name) => shown(name, values[name]));
}

/**
 * A text in pieces for a template: values stand in place of `{name}`, and `<name>words</name>` becomes what the function of that name makes of the words.
 * @param {Key} key @param {Record<string, unknown>} values
 * @returns {unknown[]}
 */
export function rich(key, values) {
  return form(key, /** @type {Values} */ (values)).split(/(\{\w+\}|<\w+>[^<]*<\/\w+>)/).map((part) => {
    const [, name, tag, words] = /^(?:\{(\w+)\}|<(\w+)>(.*)<\/\w+>)$/s.exec(part) ?? [];
    const make = values[tag];
    return name ? values[name] : typeof make === "function" ? make(words) : part;
  });
}

/** The word for one of the engine's short names; a name that has none is shown as it is. @param {string} group the first part of the key @param {string} name @param {string} [otherwise] */
export function word(group, name, otherwise = name.replaceAll("_", " ")) {
  const found = texts[/** @type {Key} */ (`${group}.${name}`)];
  return typeof found === "string" ? found : otherwise;
}

/** @param {Key} key @param {Values} values */
function form(key, { n }) {
  const text = texts[key];
  return typeof text === "string" ? text : plurals.select(Number(n)) === "one" ? text.one : text.other;
}

/** @param {string} name @param {string | number | undefined} value */
function shown(name, value) {
  return name === "n" ? Number(value).toLocaleString(current) : String(value);
}
