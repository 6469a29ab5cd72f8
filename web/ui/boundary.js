/** A view that throws -> a message in its place; the rest of the page stays. */

import { asError } from "../core/errors.js";
import { t } from "../words.js";
import { messageView } from "./message.js";

/** What has been written to the console: drawings come often. @type {Set<string>} */
const known = new Set();

/** @param {() => unknown} view */
export function safely(view) {
  try {
    return view();
  } catch (thrown) {
    const { message } = asError(thrown);
    if (!known.has(message)) console.error(thrown);
    known.add(message);
    return messageView({
      title: t("error.view"),
      message: t("error.view_says", { message }),
      severity: "warn",
      kind: "view",
    });
  }
}
