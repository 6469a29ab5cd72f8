/** The engine's sentences, with names in backticks -> text with code in it. */

import { html } from "lit-html";

/** @param {string} text */
export function textView(text) {
  return text.split("`").map((part, i) => (i % 2 ? html`<code>${part}</code>` : part));
}
