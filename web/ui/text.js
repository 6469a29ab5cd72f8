/** Text with names in backticks -> text with code in it, marked as English where it is English and the page is not. */

import { html } from "lit-html";
import { isTranslated, language, say } from "../words.js";

/** @typedef {import("../words.js").Sentence} Sentence */

/** A message of the engine, in English. @param {string} text */
export function textView(text) {
  return language() === "en" ? coded(text) : html`<span lang="en">${coded(text)}</span>`;
}

/** A sentence of the engine. @param {Sentence | string} sentence */
export function sentenceView(sentence) {
  return typeof sentence === "string" || !isTranslated(sentence) ? textView(say(sentence)) : coded(say(sentence));
}

/** @param {string} text */
function coded(text) {
  return text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
}
