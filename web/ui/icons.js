/** Small drawings, 16 by 16, in the colour of the text. */

import { svg } from "lit-html";

/** @param {import("lit-html").TemplateResult} paths */
const icon = (
  paths,
) => svg`<svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor"
  stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">${paths}</svg>`;

export const dice = icon(svg`<rect x="2" y="2" width="12" height="12" rx="2.5" />
  <path d="M5.5 5.5h.01M10.5 10.5h.01M10.5 5.5h.01M5.5 10.5h.01M8 8h.01" stroke-width="2" />`);
export const recycle = icon(
  svg`<path d="M13.5 8A5.5 5.5 0 0 1 4 11.8M2.5 8A5.5 5.5 0 0 1 12 4.2M12.4 1.6v2.8H9.6M3.6 14.4v-2.8h2.8" />`,
);
export const download = icon(svg`<path d="M8 2v8M4.8 7 8 10.2 11.2 7M2.5 13.5h11" />`);
export const copy = icon(svg`<rect x="5.5" y="5.5" width="8" height="8" rx="1.5" /><path d="M10.5 3V2.5h-8v8H3" />`);
export const cross = icon(svg`<path d="m4 4 8 8M12 4l-8 8" />`);
export const warning = icon(svg`<path d="M8 2.2 14.3 13H1.7ZM8 6.5v3M8 11.2v.01" />`);
export const check = icon(svg`<path d="m3 8.5 3.2 3L13 4.8" />`);
export const partly = icon(
  svg`<circle cx="8" cy="8" r="5.8" /><path d="M8 2.2a5.8 5.8 0 0 1 0 11.6Z" fill="currentColor" />`,
);
export const stop = icon(svg`<circle cx="8" cy="8" r="5.8" /><path d="m4.2 4.2 7.6 7.6" />`);
export const question = icon(
  svg`<circle cx="8" cy="8" r="5.8" /><path d="M6.2 6.4a1.9 1.9 0 1 1 2.7 1.7c-.6.3-.9.6-.9 1.3M8 11.6v.01" />`,
);
export const link = icon(
  svg`<path d="M6.5 9.5a3 3 0 0 0 4.3 0l2.3-2.3a3 3 0 0 0-4.3-4.3l-.9.9" />
    <path d="M9.5 6.5a3 3 0 0 0-4.3 0L2.9 8.8a3 3 0 0 0 4.3 4.3l.9-.9" />`,
);
export const pin = icon(svg`<path d="M9.8 2.2 13.8 6.2 10.6 9.4 10.1 12 4 5.9 6.6 5.4ZM6.6 9.4 2.5 13.5" />`);
