/** Short messages in a corner; what they say is announced as well. */

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { check } from "./icons.js";

/** @param {import("../types.d.ts").Toast[]} toasts */
export function toastsView(toasts) {
  if (!toasts.length) return nothing;
  return html`<ul class="toasts" data-testid="toasts">
    ${repeat(
      toasts,
      ({ id }) => id,
      ({ text }) => html`<li>${check} <bdi>${text}</bdi></li>`,
    )}
  </ul>`;
}
