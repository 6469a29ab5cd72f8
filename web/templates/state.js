/** Styles and templates of prompts at the start of a visit: nothing opened, nothing filled in. */

/** @type {import("../types.d.ts").Templates} */
export const NO_TEMPLATES = { unfolded: false, fill: false, wildcards: [], styles: [], chosen: [] };
