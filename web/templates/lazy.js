/** Styles and templates of prompts: their part of the page, loaded when it is first wanted. */

/** @typedef {import("../types.d.ts").Templates} Templates */

/** @type {typeof import("./views/templates.js").templatesView | null} */
let view = null;

/** Loads the form's part. */
export async function loadView() {
  view ??= (await import("./views/templates.js")).templatesView;
}

/**
 * What is inside of the form's part, once it is there.
 * @param {Templates} templates @param {import("../types.d.ts").Send} send
 */
export function insideView(templates, send) {
  return templates.unfolded && view ? view(templates, send) : "";
}

/** What fills prompts. */
export const fillers = () => import("./fill.js");
