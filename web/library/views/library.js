/** The library: files that stay in this browser, downloads on their way, and the room that is left. */

import { html, nothing } from "lit-html";
import { formatBytes } from "../../core/format.js";
import { t } from "../../words.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function libraryView(state, send) {
  const { library } = state;
  if (!library.ready) return nothing;
  const { items, works, demo, usage, quota, persisted } = library;
  const begun = Object.entries(works).filter(([key]) => !items.some((item) => item.key === key));
  return html`
    <details class="card library" id="library" data-testid="library">
      <summary>
        <h2>${t("library.title")}</h2>
        <span class="fine"
          >${items.length ? t("library.kept", { n: items.length, size: formatBytes(usage) }) : t("library.none")}</span
        >
      </summary>
      <div class="inside">
        ${demo.all && state.app.offline ? demoView(demo, state.demo.catalogue?.loras.length ?? 0, send) : nothing}
        ${
          items.length || begun.length
            ? html`<ul class="kept">
                ${items.map((item) => itemView(item, works[item.key], send))}
                ${begun.map(([key, work]) =>
                  itemView(
                    { key, name: work.name, address: "", sha256: "", size: work.size, received: work.received },
                    work,
                    send,
                  ),
                )}
              </ul>`
            : html`<p class="fine">${t("library.empty")}</p>`
        }
        ${downloadView(send)}
        <div class="room">
          <meter min="0" max=${quota} .value=${usage} aria-labelledby="room-said"></meter>
          <p class="fine" id="room-said">
            ${t("library.room", { usage: formatBytes(usage), quota: formatBytes(quota) })}
            ${persisted ? t("library.stays") : t("library.may_go")}
          </p>
          ${
            persisted || !items.length
              ? nothing
              : html`<button
                  class="button small"
                  type="button"
                  id="persist"
                  @click=${() => send({ type: "library/persist" })}
                >
                  ${t("library.persist")}
                </button>`
          }
        </div>
      </div>
    </details>
  `;
}

/** @param {State["library"]["demo"]} demo @param {number} n of its LoRAs @param {Send} send */
function demoView({ kept, all, bytes }, n, send) {
  const size = formatBytes(bytes);
  return html`<div class="kept-demo" data-testid="kept-demo" data-kept=${kept}>
    <p>
      ${t("library.demo", { n })}
      <span class="fine"
        >${kept === all ? t("library.demo_all", { size }) : t("library.demo_part", { size, kept, all })}</span
      >
    </p>
    <p class="downloads">
      ${
        kept < all
          ? html`<button
              class="button small"
              type="button"
              id="keep-demo"
              @click=${() => send({ type: "library/demo", keep: true })}
            >
              ${t("library.demo_keep")}
            </button>`
          : nothing
      }
      ${
        kept
          ? html`<button
              class="button small"
              type="button"
              id="drop-demo"
              @click=${() => send({ type: "library/demo", keep: false })}
            >
              ${t("button.delete")}
            </button>`
          : nothing
      }
    </p>
  </div>`;
}

/**
 * @param {State["library"]["items"][number]} item
 * @param {import("../../types.d.ts").Work | undefined} work
 * @param {Send} send
 */
function itemView(item, work, send) {
  const { name, sha256, size, received, own } = item;
  const whole = own || sha256 !== "";
  const busy = work && !work.error;
  const done = busy ? Math.max(work.received, 0) : received;
  const all = busy && work.size ? work.size : size;
  return html`<li
    data-testid="kept"
    data-name=${name}
    data-status=${busy ? "working" : own ? "own" : whole ? "kept" : "part"}
  >
    <p>
      <bdi>${name}</bdi>
      <span class="fine"
        >${
          own
            ? html`${formatBytes(size)}, ${t("library.own")}`
            : sha256
              ? html`${formatBytes(size)}, SHA-256 <code>${sha256.slice(0, 12)}…</code>`
              : all
                ? t("library.part", { done: formatBytes(done), all: formatBytes(all) })
                : formatBytes(done)
        }</span
      >
    </p>
    ${
      whole && !busy
        ? nothing
        : html`<progress
            max="1"
            .value=${all ? done / all : 0}
            aria-label=${t("library.progress", { name })}
          ></progress>`
    }
    ${work?.error ? html`<p class="fine over" role="alert">${work.error.message}</p>` : nothing}
    ${toolsView(item, whole, Boolean(busy), send)}
  </li>`;
}

/** @param {State["library"]["items"][number]} item @param {boolean} whole @param {boolean} busy @param {Send} send */
function toolsView({ key, name, address, own }, whole, busy, send) {
  return html`<p class="downloads">
    ${
      whole
        ? html`<button class="button small" type="button" @click=${() => send({ type: "library/open", key })}>
            ${t("address.go")}
          </button>`
        : nothing
    }
    ${
      busy
        ? html`<button class="button small" type="button" @click=${() => send({ type: "library/stop", key })}>
            ${t("button.stop")}
          </button>`
        : nothing
    }
    ${
      !busy && !whole && address
        ? html`<button class="button small" type="button" @click=${() => send({ type: "library/resume", key })}>
            ${t("library.go_on")}
          </button>`
        : nothing
    }
    ${
      busy
        ? nothing
        : html`<button
            class="button small"
            type="button"
            aria-label=${own ? `${t("library.forget")} ${name}` : t("library.delete_named", { name })}
            @click=${() => send({ type: "library/remove", key })}
          >
            ${t(own ? "library.forget" : "button.delete")}
          </button>`
    }
  </p>`;
}

/** @param {Send} send */
function downloadView(send) {
  const begin = (/** @type {Event} */ event) => {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target);
    const { address, sha256 } = /** @type {{ address: string, sha256: string }} */ (
      Object.fromEntries(new FormData(form))
    );
    if (!address.trim()) return;
    send({ type: "library/download", text: address, wanted: sha256 });
    form.reset();
  };
  return html`<form class="download" aria-label=${t("library.download_label")} @submit=${begin}>
    <label class="field"
      ><span>${t("library.address")}</span
      ><input
        type="text"
        name="address"
        id="download-address"
        inputmode="url"
        autocomplete="off"
        placeholder="https://…"
    /></label>
    <label class="field"
      ><span>SHA-256 <span class="fine">${t("library.if_known")}</span></span
      ><input
        type="text"
        name="sha256"
        id="download-sha256"
        autocomplete="off"
        pattern="[0-9A-Fa-f]{64}"
        title=${t("library.digits")}
    /></label>
    <button class="button" type="submit" id="download-begin">${t("library.download")}</button>
    <p class="fine whole">${t("library.note")}</p>
  </form>`;
}

/** @param {string} id of an entry @param {Send} send */
export function keepButton(id, send) {
  return html`<button class="button small" type="button" id="keep" @click=${() => send({ type: "library/keep", id })}>
    ${t("library.keep")}
  </button>`;
}
