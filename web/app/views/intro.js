/** First visit: the promise and the two ways in. Later the same, small, above the report. */

import { html, nothing, svg } from "lit-html";
import { showsRun } from "../../select.js";
import { byHandle } from "../../ui/fields.js";
import { t } from "../../words.js";

/** @param {import("../../types.d.ts").State} state @param {import("../../types.d.ts").Send} send */
export function introView(state, send) {
  const first = !showsRun(state) && !state.look.folder;
  return html`
    <section class="intro ${first ? "first" : "later"}" aria-label=${t("intro.label")}>
      ${
        first
          ? html`<h1>${t("intro.promise")}</h1>
              <p class="lead">${t("intro.lead")}</p>`
          : html`<h1 class="visually-hidden">LoRA Loupe</h1>
              <p class="fine">${t("intro.more")}</p>`
      }
      <div class="ways-in">
        <label class="button ${first ? "primary" : "small"}">
          <input
            class="visually-hidden"
            id="file-picker"
            type="file"
            multiple
            @click=${byHandle(() => send({ type: "files/pick" }))}
            @change=${(/** @type {Event} */ event) => pick(event, send)}
          />
          ${t("intro.files")}
        </label>
        <label class="button ${first ? "" : "small"}">
          <input
            class="visually-hidden"
            id="folder-picker"
            type="file"
            webkitdirectory
            @change=${(/** @type {Event} */ event) => pickFolder(event, send)}
          />
          ${t("intro.folder")}
        </label>
        <button
          class="button ${first ? "" : "small"}"
          type="button"
          id="try-demo"
          @click=${() => send({ type: "demo/try" })}
        >
          ${t("intro.demo")}
        </button>
      </div>
      ${addressView(state.look.address, send)}
      ${
        first
          ? html`<p class="fine">${t("intro.formats")}</p>
              ${ornament}`
          : nothing
      }
    </section>
  `;
}

/** A network as its map may look, for show: columns of tiles, stronger towards the middle. */
const ornament = html`<svg
  class="ornament"
  viewBox="0 0 640 44"
  preserveAspectRatio="xMidYMax slice"
  aria-hidden="true"
>
  ${Array.from({ length: 40 * 3 }, (_, at) => {
    const [column, row] = [Math.floor(at / 3), at % 3];
    const strength =
      1 + Math.round(5 * Math.exp(-(((column - 19.5) / 11) ** 2)) * (0.55 + 0.45 * Math.sin(column * 2.1 + row * 1.7)));
    const [x, y] = [column * 16, row * 15];
    return svg`<rect class="step-${Math.max(1, strength)}" x=${x} y=${y} width="13" height="12" rx="2" />`;
  })}
</svg>`;

/**
 * A file on the web: only its header is fetched, and only once asked for.
 * @param {import("../../types.d.ts").Look["address"]} address
 * @param {import("../../types.d.ts").Send} send
 */
function addressView({ status, error }, send) {
  return html`
    <details class="address" ?open=${error !== null}>
      <summary>${t("address.open")}</summary>
      <form
        @submit=${(/** @type {SubmitEvent} */ event) => {
          event.preventDefault();
          const form = /** @type {HTMLFormElement} */ (event.target);
          send({
            type: "address/open",
            text: /** @type {HTMLInputElement} */ (form.elements.namedItem("address")).value,
          });
        }}
      >
        <span class="joined">
          <input
            id="address"
            name="address"
            type="text"
            inputmode="url"
            autocomplete="off"
            spellcheck="false"
            required
            aria-label=${t("address.label")}
            placeholder="https://huggingface.co/…/blob/main/lora.safetensors"
          />
          <button
            class="button"
            type="submit"
            id="open-address"
            aria-disabled=${status === "asking" ? "true" : "false"}
          >
            ${status === "asking" ? t("address.opening") : t("address.go")}
          </button>
        </span>
        <p class="fine">${t("address.note")}</p>
        ${
          error ? html`<p class="address-error" role="alert" data-testid="address-error">${error.message}</p>` : nothing
        }
      </form>
    </details>
  `;
}

/** @param {Event} event @param {import("../../types.d.ts").Send} send */
function pickFolder({ target }, send) {
  const picker = /** @type {HTMLInputElement} */ (target);
  const picked = [...(picker.files ?? [])].map((file) => ({
    path: file.webkitRelativePath.split("/").slice(1).join("/"),
    file,
  }));
  const name = picker.files?.[0]?.webkitRelativePath.split("/", 1)[0] ?? "";
  picker.value = "";
  if (picked.length) send({ type: "files/dropped", files: [], folders: [{ name, files: picked }], place: "" });
}

/** @param {Event} event @param {import("../../types.d.ts").Send} send */
function pick({ target }, send) {
  const picker = /** @type {HTMLInputElement} */ (target);
  const files = [...(picker.files ?? [])];
  picker.value = ""; // the same file can be picked again
  if (files.length) send({ type: "files/dropped", files, folders: [], place: "" });
}
