/** The base model: the demo, or the user's own checkpoint or folder. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { say, t } from "../../words.js";
import { byHandle, fileInto, filesInto } from "../../ui/fields.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function baseView({ base, demo, run, jobs }, send) {
  const option = (/** @type {string} */ id, /** @type {string} */ name) =>
    html`<option value=${id} .selected=${live(id === base.chosen)}>${name}</option>`;
  const own = base.own.find(({ id }) => id === base.chosen);
  return html`
    <div class="base" data-drop="base">
      <label class="field">
        <span>${t("base.title")}</span>
        <select
          id="base"
          ?disabled=${run.status !== "idle"}
          @change=${(/** @type {Event} */ { target }) =>
            send({ type: "model/chosen", id: /** @type {HTMLSelectElement} */ (target).value })}
        >
          ${option("demo", t("base.bundled", { name: demo.catalogue?.name ?? "Demo" }))}
          ${base.own.map(({ id, name }) => option(id, name))}
        </select>
      </label>
      ${
        own && !base.info && jobs.some(({ lane }) => lane === "gpu")
          ? html`<p class="fine"><span class="spinner"></span> ${t("base.opening", { name: own.name })}</p>`
          : nothing
      }
      <details ?open=${base.lacks}>
        <summary>${t("base.own")}</summary>
        <div class="inside">
          <p class="fine">${t("base.says")}</p>
          <p class="chips">
            ${checkpointButton("pick-checkpoint", t("base.file"), send)}
            <label class="button small">
              <input
                class="visually-hidden"
                id="pick-folder"
                type="file"
                webkitdirectory
                @click=${byHandle(() => send({ type: "model/pick_folder" }), "showDirectoryPicker")}
                @change=${(/** @type {Event} */ event) => pickFolder(event, send)}
              />
              ${t("base.folder")}
            </label>
          </p>
          ${own?.kind === "file" ? partsView(base, send) : nothing} ${farView(base.far, send)}
        </div>
      </details>
    </div>
  `;
}

/** Opens a checkpoint as the base model. @param {string} id @param {string} label @param {Send} send */
export function checkpointButton(id, label, send) {
  return html`<label class="button small">
    <input
      class="visually-hidden"
      id=${id}
      type="file"
      accept=".safetensors,.gguf"
      @click=${byHandle(() => send({ type: "model/pick" }))}
      @change=${fileInto((file) => send({ type: "model/picked", file }))}
    />
    ${label}
  </label>`;
}

/**
 * A model on the web, which is asked only once this is sent. It stands in the form of the image, so it is no form
 * itself.
 * @param {State["base"]["far"]} far
 * @param {Send} send
 */
function farView({ status, error }, send) {
  const open = (/** @type {Event} */ event) => {
    event.preventDefault();
    const input = /** @type {HTMLElement} */ (event.currentTarget).closest(".joined")?.querySelector("input");
    if (input?.value.trim() && status !== "asking") send({ type: "model/far", text: input.value });
  };
  const said = error && say(error.sentence ?? error.message);
  return html`
    <label class="field" for="far-model"><span>${t("base.web")}</span></label>
    <span class="joined">
      <input
        id="far-model"
        type="text"
        inputmode="url"
        autocomplete="off"
        spellcheck="false"
        placeholder=${t("base.web_place")}
        aria-describedby="far-model-hint"
        @keydown=${(/** @type {KeyboardEvent} */ event) => event.key === "Enter" && open(event)}
      />
      <button
        class="button"
        type="button"
        id="open-far-model"
        aria-disabled=${status === "asking" ? "true" : "false"}
        @click=${open}
      >
        ${t(status === "asking" ? "address.opening" : "address.go")}
      </button>
    </span>
    ${said ? html`<p class="address-error" role="alert" data-testid="far-model-error">${said}</p>` : nothing}
    <p class="fine" id="far-model-hint">${t("base.web_says")}</p>
  `;
}

/** Files of text encoders or a VAE. @param {State["base"]} base @param {Send} send */
function partsView({ parts, lacks }, send) {
  return html`${parts.map(
      ({ id, name }) =>
        html`<p class="fine taken">
          ${t("base.with_part", { name })}
          <button
            class="quiet"
            type="button"
            aria-label=${t("base.without_part", { name })}
            @click=${() => send({ type: "part/removed", id })}
          >
            ${cross}
          </button>
        </p>`,
    )}
    <p class="chips">
      <label class="button small ${lacks ? "primary" : ""}">
        <input
          class="visually-hidden"
          id="pick-part"
          type="file"
          accept=".safetensors,.gguf"
          multiple
          @click=${byHandle(() => send({ type: "part/pick" }))}
          @change=${filesInto((files) => send({ type: "part/picked", files }))}
        />
        ${t("base.part")}
      </label>
    </p>`;
}

/** The folder's own name stands first in each path. @param {Event} event @param {Send} send */
function pickFolder({ target }, send) {
  const picker = /** @type {HTMLInputElement} */ (target);
  const files = [...(picker.files ?? [])].map((file) => ({ path: file.webkitRelativePath, file }));
  picker.value = "";
  if (!files.length) return;
  const [name] = files[0].path.split("/", 1);
  const inside = files.map(({ path, file }) => ({ path: path.slice(name.length + 1), file }));
  send({ type: "files/dropped", files: [], folders: [{ name, files: inside }], place: "base" });
}
