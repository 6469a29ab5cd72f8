/**
 * A text's key and its values, or a sentence of the engine -> the text in the language of the page. English is always
 * here; the others are loaded when they are wanted.
 */

import en from "./words/en.js";

/** @typedef {keyof typeof en} Key */
/** @typedef {{ one: string, other: string }} Forms of a text for one and for other numbers */
/** @typedef {Record<Key, string | Forms>} Texts */
/** @typedef {"en" | "de" | "zh"} Language */
/**
 * @typedef {Record<string, string | number | undefined>} Values `n` decides between the forms, and is written with
 * marks between thousands
 */

/** Each language as it calls itself. @type {Record<Language, string>} */
export const LANGUAGES = { en: "English", de: "Deutsch", zh: "中文" };

/** @typedef {import("./engine/types.d.ts").Sentence} Sentence */
/** @typedef {import("./engine/types.d.ts").SentenceValue} SentenceValue */
/** @typedef {Record<string, string | Forms>} Sentences */

/**
 * The page's texts, and those of the engine's sentences.
 * @type {Record<Exclude<Language, "en">, () => Promise<[{ default: Texts }, { default: Sentences }]>>}
 */
const OTHERS = {
  de: () => Promise.all([import("./words/de.js"), import("./words/report.de.js")]),
  zh: () => Promise.all([import("./words/zh.js"), import("./words/report.zh.js")]),
};

/** @type {Language} */
let current = "en";
/** @type {Texts} */
let texts = en;
/** The engine's sentences by their ids; none in English, in which they come. @type {Sentences} */
let sentences = {};
let plurals = new Intl.PluralRules("en");

/** The language of the page. */
export function language() {
  return current;
}

/**
 * Another language from now on; the last one stays where its texts cannot be loaded.
 * @param {string} wanted one of LANGUAGES
 */
export async function useLanguage(wanted) {
  const next = /** @type {Language} */ (wanted);
  const [page, report] = next === "en" ? [en, {}] : (await OTHERS[next]()).map((module) => module.default);
  [texts, sentences] = [/** @type {Texts} */ (page), report];
  current = next;
  plurals = new Intl.PluralRules(next);
}

/** A text with its values in place. @param {Key} key @param {Values} [values] @returns {string} */
export function t(key, values = {}) {
  return form(key, values).replace(/\{(\w+)\}/g, (_, name) => shown(name, values[name]));
}

/**
 * A text in pieces for a template: values stand in place of `{name}`, and `<name>words</name>` becomes what the
 * function of that name makes of the words.
 * @param {Key} key @param {Record<string, unknown>} values
 * @returns {unknown[]}
 */
export function rich(key, values) {
  return form(key, /** @type {Values} */ (values))
    .split(/(\{\w+\}|<\w+>[^<]*<\/\w+>)/)
    .map((part) => {
      const [, name, tag, words] = /^(?:\{(\w+)\}|<(\w+)>(.*)<\/\w+>)$/s.exec(part) ?? [];
      const make = values[tag];
      return name ? values[name] : typeof make === "function" ? make(words) : part;
    });
}

/**
 * The word for one of the engine's short names; a name that has none is shown as it is.
 * @param {string} group the first part of the key
 * @param {string} name
 * @param {string} [otherwise]
 */
export function word(group, name, otherwise = name.replaceAll("_", " ")) {
  const found = texts[/** @type {Key} */ (`${group}.${name}`)];
  return typeof found === "string" ? found : otherwise;
}

/**
 * A sentence of the engine in the page's language, or in English if it has none there; other text as it is.
 * @param {Sentence | string} told
 * @returns {string}
 */
export function say(told) {
  if (typeof told === "string") return told;
  const text = translation(told);
  if (text === undefined) return told.text;
  return chosen(text, told.values.n).replace(/\{(\w+)\}/g, (_, name) => saidValue(name, told.values[name]));
}

/**
 * The name of a family of models, or of all that a file fits: the same in every language but for those in words.
 * @param {{ label: string, others?: { label: string }[] }} base
 */
export function familyName({ label, others = [] }) {
  const labels = [label, ...others.map((other) => other.label)].flatMap((label) => label.split(" / "));
  const id = (/** @type {string} */ label) => `family.${label.toLowerCase().replace(/[^a-z0-9]/g, "_")}`;
  return labels.map((label) => say({ id: id(label), values: {}, text: label })).join(" / ");
}

/** Whether a sentence of the engine is there in the page's language. @param {Sentence} told */
export function isTranslated(told) {
  return current === "en" || translation(told) !== undefined;
}

/** @param {Sentence} told @returns {string | Forms | undefined} */
function translation({ id }) {
  return current === "en" ? undefined : (sentences[id] ?? texts[/** @type {Key} */ (id)]);
}

/** @param {string} name @param {SentenceValue} value */
function saidValue(name, value) {
  if (Array.isArray(value)) return value.map(say).join(String(sentences[`list.${name}`] ?? " "));
  if (typeof value === "number")
    return value.toLocaleString(current, { maximumSignificantDigits: 15, useGrouping: name === "n" });
  return say(value);
}

/** @param {Key} key @param {Values} values */
function form(key, { n }) {
  return chosen(texts[key], n);
}

/** @param {string | Forms} text @param {unknown} n */
function chosen(text, n) {
  return typeof text === "string" ? text : plurals.select(Number(n)) === "one" ? text.one : text.other;
}

/** @param {string} name @param {string | number | undefined} value */
function shown(name, value) {
  return name === "n" ? Number(value).toLocaleString(current) : String(value);
}
