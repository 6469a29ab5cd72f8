/** The engine's sentences, which are English and have names in backticks -> text with code in it, marked as English where the page is not. */

import { html } from "lit-html";
import { language } from "../words.js";

/** @param {string} text */
export function textView(text) {
  return engineText(text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part)));
}

/** @param {unknown} text */
export function engineText(text) {
  return language() === "en" ? text : html`<span lang="en">${text}</span>`;
}
