/** The names by which programs and sites know a file, and whether those that its header claims are right. */

import { html, nothing } from "lit-html";
import { rich, t, word } from "../../words.js";
import { fixButton } from "./fix.js";
import { check, copy, warning } from "../../ui/icons.js";

/** @typedef {import("../../engine/types.d.ts").Hashes} Hashes */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @type {import("../../types.d.ts").Section<Hashes>} */
export const hashesSection = {
  id: "hashes",
  title: "section.hashes",
  late: true,
  of: ({ report }) => report.hashes,
  from: ({ report }) => [report.hashes],
  view: (hashes, { send }) => hashesView(hashes, send),
};

/** @param {Hashes} hashes @param {Send} send */
function hashesView(hashes, send) {
  const { sha256, auto_v1, auto_v2, auto_v3, legacy, claims } = hashes;
  const wrong = claims.filter(({ verdict }) => verdict !== "right");
  return html`
    <section class="card hashes" id="hashes" aria-labelledby="hashes-title" data-testid="hashes">
      <h3 id="hashes-title">${t("hashes.title")}</h3>
      <dl class="fields">
        ${row("SHA-256", t("hashes.sha256"), sha256, send)} ${row("AutoV2", t("hashes.v2"), auto_v2, send)}
        ${auto_v3 ? row("AutoV3", t("hashes.v3"), auto_v3, send) : nothing}
        ${auto_v1 ? row("AutoV1", t("hashes.v1"), auto_v1, send) : nothing}
        ${legacy ? row(t("hashes.old"), t("hashes.legacy"), legacy, send) : nothing}
      </dl>
      ${
        claims.length && !wrong.length
          ? html`<p class="claim good">${check} <span>${t("hashes.right")}</span></p>`
          : nothing
      }
      ${
        wrong.length
          ? fixButton(
              {
                label: t("hashes.repair"),
                why: t("hashes.repair_why"),
                kind: "metadata",
                form: { repairHashes: true },
              },
              send,
            )
          : nothing
      }
      ${wrong.map(
        ({ key, says, should_say, verdict }) =>
          html`<div class="claim warn" data-testid="wrong-hash">
            ${warning}
            <div>
              <p>
                <strong>${rich("hashes.wrong", { key: html`<code>${key}</code>` })}</strong> ${word("claim", verdict)}
              </p>
              <p class="fine">
                ${rich("hashes.should", {
                  says: html`<code>${says || t("hashes.nothing")}</code>`,
                  should: html`<code>${should_say}</code>`,
                })}
              </p>
            </div>
          </div>`,
      )}
      <p class="fine">
        ${rich("hashes.civitai", {
          a: (/** @type {string} */ name) =>
            html`<a href="https://civitai.com/search/models?query=${sha256}" target="_blank" rel="noopener noreferrer"
              >${name}</a
            >`,
        })}
      </p>
    </section>
  `;
}

/** @param {string} name @param {string} what @param {string} hash @param {Send} send */
function row(name, what, hash, send) {
  return html`<div class=${hash.length > 20 ? "wide" : ""}>
    <dt>${name} <span class="fine">${what}</span></dt>
    <dd>
      <code>${hash}</code>
      <button
        class="quiet"
        type="button"
        aria-label=${t("hashes.copy", { name })}
        title=${t("button.copy")}
        @click=${() => send({ type: "text/copy", text: hash, what: name })}
      >
        ${copy}
      </button>
    </dd>
  </div>`;
}
