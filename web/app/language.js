/**
 * What a user reads -> the page's language: the control that chooses it, and the words that stand outside the views.
 */

import { scoped } from "../core/scope.js";
import { LANGUAGES, language, t, useLanguage } from "../words.js";
import { byId, keep, kept, languages, speakDocument, worded } from "../world.js";

/** Where the choice is kept. */
const KEY = scoped("language");

/** @typedef {import("../words.js").Key} Key */

/** The language that was chosen, else the first of the user's that is here. */
function wanted() {
  const chosen = kept(KEY);
  const theirs = [...(chosen ? [chosen] : []), ...languages()].map((tag) => tag.split("-")[0]);
  return theirs.find((tag) => tag in LANGUAGES) ?? "en";
}

/** @param {string} next */
async function speak(next) {
  await useLanguage(next).catch(() => {}); // without a connection a language that was never used is not here
  speakDocument(language());
  for (const element of worded()) element.textContent = t(/** @type {Key} */ (element.dataset.words));
}

/** @param {() => void} onChange hears of another language */
export async function startLanguage(onChange) {
  const control = /** @type {HTMLSelectElement} */ (byId("language"));
  await speak(wanted());
  control.value = language();
  control.setAttribute("aria-label", t("page.language"));
  control.addEventListener("change", async () => {
    await speak(control.value);
    keep(KEY, (control.value = language()));
    control.setAttribute("aria-label", t("page.language"));
    onChange();
  });
}
