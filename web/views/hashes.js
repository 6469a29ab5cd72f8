/** The names by which programs and sites know a file, and whether those that its header claims are right. */

import { html, nothing } from "lit-html";
import { CLAIMS } from "../words.js";
import { fixButton } from "./fix.js";
import { check, copy, warning } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").Hashes} Hashes */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {Hashes} hashes @param {Send} send */
export function hashesView(hashes, send) {
  const { sha256, auto_v1, auto_v2, auto_v3, legacy, claims } = hashes;
  const wrong = claims.filter(({ verdict }) => verdict !== "right");
  return html`
    <section class="card hashes" id="hashes" aria-labelledby="hashes-title" data-testid="hashes">
      <h3 id="hashes-title">Names that sites know it by</h3>
      <dl class="fields">
        ${row("SHA-256", "the whole file; Civitai and Hugging Face", sha256, send)}
        ${row("AutoV2", "its first ten digits; changes with the metadata", auto_v2, send)}
        ${auto_v3 ? row("AutoV3", "without the header; stays the same when metadata change", auto_v3, send) : nothing}
        ${auto_v1 ? row("AutoV1", "old web UIs; many files share one", auto_v1, send) : nothing}
        ${legacy ? row("Legacy", "sshs_legacy_hash of sd-scripts", legacy, send) : nothing}
      </dl>
      ${claims.length && !wrong.length ? html`<p class="claim good">${check} <span>The hashes in its header are right.</span></p>` : nothing}
      ${wrong.length ? fixButton({ label: "Put the hashes right", why: "The tensors stay as they are.", kind: "metadata", form: { repairHashes: true } }, send) : nothing}
      ${wrong.map(
        ({ key, says, should_say, verdict }) => html`<div class="claim warn" data-testid="wrong-hash">
          ${warning}
          <div>
            <p><strong><code>${key}</code> in the header is wrong.</strong> ${CLAIMS[verdict]}</p>
            <p class="fine">It says <code>${says || "nothing"}</code>; right is <code>${should_say}</code>.</p>
          </div>
        </div>`,
      )}
      <p class="fine">
        <a href="https://civitai.com/search/models?query=${sha256}" target="_blank" rel="noopener noreferrer">Look it up on Civitai</a>
        opens a new tab and tells Civitai this SHA-256; nothing is sent before you click.
      </p>
    </section>
  `;
}

/** @param {string} name @param {string} what @param {string} hash @param {Send} send */
function row(name, what, hash, send) {
  return html`<div>
    <dt>${name} <span class="fine">${what}</span></dt>
    <dd>
      <code>${hash}</code>
      <button class="quiet" type="button" aria-label="Copy ${name}" title="Copy" @click=${() => send({ type: "text/copied", text: hash, what: name })}>${copy}</button>
    </dd>
  </div>`;
}
