/** Sentences of reports in the language of a page; English is in the report. */

/** @typedef {import("./types.d.ts").Sentence} Sentence */
/** @typedef {import("./types.d.ts").SentenceValue} SentenceValue */
/** @typedef {Record<string, string | { one: string, other: string }>} Texts */
/** @typedef {{ base: string, format: string, algorithm: string, layers: string, triggers: string }} Labels */
/** @typedef {{ language: string, texts: Texts, labels: Labels }} Words */

/** @type {Record<string, Labels>} */
const LABELS = {
  en: { base: "Base model", format: "Key format", algorithm: "Algorithm", layers: "Layers", triggers: "Trigger words" },
  de: {
    base: "Basismodell",
    format: "Schlüsselformat",
    algorithm: "Algorithmus",
    layers: "Schichten",
    triggers: "Triggerwörter",
  },
  zh: { base: "基础模型", format: "键名格式", algorithm: "算法", layers: "层数", triggers: "触发词" },
};

/** @type {Record<string, () => Promise<{ default: Texts }>>} */
const TEXTS = {
  de: () => import("./words/report.de.js"),
  zh: () => import("./words/report.zh.js"),
};

/** The words of a language, by its tag; of English where there are none. @param {string} tag @returns {Promise<Words>} */
export async function translator(tag) {
  const language = tag.toLowerCase().split("-")[0];
  const texts = (await TEXTS[language]?.())?.default;
  return texts ? { language, texts, labels: LABELS[language] } : { language: "en", texts: {}, labels: LABELS.en };
}

/** A sentence in a language. @param {Sentence | string} told @param {Words} words @returns {string} */
export function say(told, words) {
  if (typeof told === "string") return told;
  const forms = words.texts[told.id];
  if (forms === undefined) return told.text;
  const isOne = new Intl.PluralRules(words.language).select(Number(told.values.n)) === "one";
  const text = typeof forms === "string" ? forms : isOne ? forms.one : forms.other;
  return text.replace(/\{(\w+)\}/g, (_, name) => saidValue(name, told.values[name], words));
}

/** @param {string} name @param {SentenceValue} value @param {Words} words @returns {string} */
function saidValue(name, value, words) {
  if (Array.isArray(value)) return value.map((one) => say(one, words)).join(String(words.texts[`list.${name}`] ?? " "));
  if (typeof value === "number")
    return value.toLocaleString(words.language, { maximumSignificantDigits: 15, useGrouping: name === "n" });
  return say(value, words);
}
