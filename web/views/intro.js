/** First visit: the promise and the two ways in. Later the same, small, above the report. */

import { html, nothing } from "lit-html";
import { showsRun } from "../select.js";

/** @param {import("../types.d.ts").State} state @param {import("../types.d.ts").Send} send */
export function introView(state, send) {
  const first = !showsRun(state);
  return html`
    <section class="intro ${first ? "first" : "later"}" aria-label="Open a file">
      ${first
        ? html`<h1>Drop a LoRA file:<br />see what it is.</h1>
            <p class="lead">
              What it was made for, how strong it is, where it acts and what is wrong with it. Then draw with it, on your own
              graphics card. Nothing leaves your browser.
            </p>`
        : html`<h1 class="visually-hidden">LoRA Loupe</h1>
            <p class="fine">Drop more files anywhere on the page.</p>`}
      <div class="ways-in">
        <label class="button ${first ? "primary" : ""}">
          <input
            class="visually-hidden"
            id="file-picker"
            type="file"
            multiple
            @change=${(/** @type {Event} */ event) => pick(event, send)}
          />
          Choose files
        </label>
        <button class="button" type="button" id="try-demo" @click=${() => send({ type: "demo/try" })}>Try the demo</button>
      </div>
      ${first ? html`<p class="fine">.safetensors, .pt, .ckpt or .bin, of any size. The demo needs no file of your own.</p>` : nothing}
    </section>
  `;
}

/** @param {Event} event @param {import("../types.d.ts").Send} send */
function pick({ target }, send) {
  const picker = /** @type {HTMLInputElement} */ (target);
  const files = [...(picker.files ?? [])];
  picker.value = ""; // the same file can be picked again
  if (files.length) send({ type: "files/dropped", files, folders: [], place: "" });
}
