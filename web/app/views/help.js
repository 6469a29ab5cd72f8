/** The help: why a LoRA does not work, formats and algorithms, keys, languages. */

import { html } from "lit-html";
import { rich, t } from "../../words.js";

/** @typedef {import("../../words.js").Key} Key */

/**
 * What goes wrong, what to do about it, and where the demo shows it.
 * @type {[title: Key, says: Key, address?: string][]}
 */
const CASES = [
  ["help.key", "help.key_says", "./#v1&look=broken_names.safetensors"],
  ["help.same", "help.same_says", "./#v1&look=duotone.safetensors"],
  ["help.noise", "help.noise_says"],
  ["help.black", "help.black_says"],
  ["help.shapes", "help.shapes_says"],
  ["help.half", "help.half_says"],
  ["help.unopened", "help.unopened_says"],
  ["help.fits", "help.fits_says"],
  ["help.other_image", "help.other_image_says"],
];

/** @returns {[name: string, formula: string, short: string][]} */
const algorithms = () => [
  ["LoRA", "W + alpha÷r · up · down", t("help.lora")],
  ["LoCon", t("help.locon_w"), t("help.locon")],
  ["DyLoRA", t("help.dylora_w"), t("help.dylora")],
  ["LoHa", "W + (B₁A₁) ∘ (B₂A₂)", t("help.loha")],
  ["LoKr", "W + C ⊗ D", t("help.lokr")],
  ["DoRA", "m · (W + ΔW) ÷ ‖W + ΔW‖", t("help.dora")],
  ["GLoRA", "W + W·A + B", t("help.glora")],
  ["(IA)³", "W · diag(s)", t("help.ia3")],
  ["OFT, BOFT, HRA", "R · W, W · R", t("help.oft")],
  ["AdaLoRA, VeRA, DeLoRA, MiSS, SHiRA", "W + ΔW", t("help.peft")],
  [t("help.full_name"), "W + D", t("help.full")],
];

/** What becomes of the marks in a text. */
const TAGS = {
  b: strong,
  code: (/** @type {string} */ text) => html`<code>${text}</code>`,
  kbd: key,
  i: (/** @type {string} */ text) => html`<em>${text}</em>`,
};

/** The same, and links to an address. @param {string} address */
const link = (address) => ({ ...TAGS, a: (/** @type {string} */ text) => html`<a href=${address}>${text}</a>` });

export function helpView() {
  return html`
    <h1>${t("help.title")}</h1>
    <nav aria-label=${t("help.nav")}>
      <ul>
        <li><a href="#why">${t("help.why")}</a></li>
        <li><a href="#formats">${t("help.formats")}</a></li>
        <li><a href="#keys">${t("help.keys")}</a></li>
        <li><a href="#languages">${t("help.languages")}</a></li>
      </ul>
    </nav>

    <section id="why" aria-labelledby="why-title" class="card">
      <h2 id="why-title">${t("help.why")}</h2>
      <p>${rich("help.lead", link("./"))}</p>
      <dl class="cases">
        ${CASES.map(
          ([title, says, address = ""]) =>
            html`<div>
              <dt>${t(title)}</dt>
              <dd>${rich(says, link(address))}</dd>
            </div>`,
        )}
      </dl>
    </section>

    ${formatsView()} ${keysView()}

    <section id="languages" aria-labelledby="languages-title" class="card">
      <h2 id="languages-title">${t("help.languages")}</h2>
      <p>${t("help.languages_says")}</p>
    </section>

    <p class="fine">${rich("help.bench", link("./#bench"))}</p>
  `;
}

function formatsView() {
  return html`
    <section id="formats" aria-labelledby="formats-title" class="card">
      <h2 id="formats-title">${t("help.formats")}</h2>
      <p>${rich("help.algorithms_lead", TAGS)}</p>
      <div class="scroller" tabindex="0" role="region" aria-label=${t("help.algorithms")}>
        <table>
          <thead>
            <tr>
              <th scope="col">${t("help.name")}</th>
              <th scope="col">${t("help.becomes")}</th>
              <th scope="col">${t("help.short")}</th>
            </tr>
          </thead>
          <tbody>
            ${algorithms().map(
              ([name, formula, short]) =>
                html`<tr>
                  <th scope="row">${name}</th>
                  <td>${formula}</td>
                  <td>${short}</td>
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
      <p>${rich("help.files", TAGS)}</p>
    </section>
  `;
}

function keysView() {
  /** @type {[keys: unknown, says: unknown][]} */
  const keys = [
    [key("Tab"), t("help.tab_key")],
    [html`${key("Enter")}, ${key("Space")}`, rich("help.enter_key", TAGS)],
    [html`${key("Ctrl")} ${key("↑")} ${key("↓")}`, t("help.weight_key")],
    [html`${key("Ctrl")} ${key("V")}`, t("help.paste_key")],
    [html`${key("←")} ${key("→")}`, t("help.arrow_key")],
    [html`${key("Home")}, ${key("End")}`, t("help.home_key")],
    [html`${key("Enter")} ${t("help.block_key")}`, t("help.block_key_says")],
  ];
  return html`<section id="keys" aria-labelledby="keys-title" class="card">
    <h2 id="keys-title">${t("help.keys")}</h2>
    <dl class="keys-list">
      ${keys.map(
        ([name, says]) =>
          html`<div>
            <dt>${name}</dt>
            <dd>${says}</dd>
          </div>`,
      )}
    </dl>
  </section>`;
}

/** @param {string} text */
function strong(text) {
  return html`<strong>${text}</strong>`;
}

/** @param {string} name */
function key(name) {
  return html`<kbd>${name}</kbd>`;
}
