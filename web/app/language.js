/** What a visitor reads -> the page's language: the control that chooses it, and the words that stand outside the views. */

import { LANGUAGES, language, t, useLanguage } from "../words.js";

/** Where the choice is kept. */
const KEY = "language";

/** @typedef {import("../words.js").Key} Key */

/** The language that was chosen, else the first of the visitor's that is here. */
function wanted() {
  const chosen = kept();
  const theirs = [...(chosen ? [chosen] : []), ...navigator.languages].map((tag) => tag.split("-")[0]);
  return theirs.find((tag) => tag in LANGUAGES) ?? "en";
}

/** The choice of the last visit; null without one, and where the browser keeps nothing. */
function kept() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string} choice */
function keep(choice) {
  try {
    localStorage.setItem(KEY, choice);
  } catch {
    // The next visit begins with the browser's language.
  }
}

/** @param {string} next */
async function speak(next) {
  await useLanguage(next).catch(() => {}); // without a connection a language that was never used is not here
  document.documentElement.lang = language();
  for (const element of document.querySelectorAll("[data-words]")) {
    element.textContent = t(/** @type {Key} */ (/** @type {HTMLElement} */ (element).dataset.words));
  }
}

/** @param {() => void} onChange hears of another language */
export async function startLanguage(onChange) {
  const control = /** @type {HTMLSelectElement} */ (document.getElementById("language"));
  await speak(wanted());
  control.value = language();
  control.setAttribute("aria-label", t("page.language"));
  control.addEventListener("change", async () => {
    await speak(control.value);
    keep((control.value = language()));
    control.setAttribute("aria-label", t("page.language"));
    onChange();
  });
}
