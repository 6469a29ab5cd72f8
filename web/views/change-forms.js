/** What can be asked of a conversion, a resize and a merge. */

import { html, nothing } from "lit-html";
import { formatNumber, plural } from "../format.js";
import { usable } from "../select.js";
import { DTYPES, TARGETS } from "../words.js";
import { cross } from "./icons.js";

/** @typedef {import("../types.d.ts").ChangeForm} Form */
/** @typedef {import("./change.js").Edit} Edit */

/** Algorithms that can become a LoRA without the base model. */
const COMPOSED = /^(loha|lokr|locon_tucker)/;

/** @param {Form} form @param {import("../engine/types.d.ts").Report} report @param {Edit} edit */
export function convertForm(form, report, edit) {
  const composed = report.algorithms.some((name) => COMPOSED.test(name));
  return html`<div class="change-form">
    ${select("change-to", "Names", form.to, [["", "as they are"], ...Object.entries(TARGETS)], (to) => edit({ to: /** @type {Form["to"]} */ (to) }))}
    ${dtypeField(form, edit)}
    ${select("change-alpha", "Alpha", form.alpha, [["usual", "as the names have it"], ["kept", "kept as alpha"], ["baked", "multiplied into the numbers"]], (alpha) =>
      edit({ alpha: /** @type {Form["alpha"]} */ (alpha) }),
    )}
    <div class="checks">
      ${composed ? box("change-lora", "Make LoHa and LoKr plain LoRA", form.asLora, (asLora) => edit({ asLora })) : nothing}
      ${composed && form.asLora
        ? html`<label class="field narrow"
            ><span>Rank where it cannot be exact</span>
            <input
              type="number" min="1" max="4096" id="change-rank" placeholder="exact or not at all" .value=${form.rank === null ? "" : String(form.rank)}
              @change=${(/** @type {Event} */ { target }) => edit({ rank: Number(/** @type {HTMLInputElement} */ (target).value) || null })}
          /></label>`
        : nothing}
      ${box("change-drop", "Leave out what has no place or is incomplete", form.drop, (drop) => edit({ drop }))}
      ${report.leftovers.length ? box("change-keep", "Keep names that address nothing", form.keepLeftovers, (keepLeftovers) => edit({ keepLeftovers })) : nothing}
    </div>
    ${form.without.length
      ? html`<p class="fine">
          Leaves out ${plural(form.without.length, "layer")}: ${form.without.slice(0, 3).join(", ")}${form.without.length > 3 ? " …" : ""}
          <button class="button small" type="button" @click=${() => edit({ without: [] })}>Keep them</button>
        </p>`
      : nothing}
  </div>`;
}

/** @param {Form} form @param {Edit} edit */
export function resizeForm(form, edit) {
  return html`<div class="change-form">
    ${ruleFields(form, [["energy", "enough for a share of the energy"], ["fixed", "the same everywhere"]], edit)} ${dtypeField(form, edit)}
    <div class="checks">${box("change-drop", "Leave out what is no matrix (DoRA, OFT, norms)", form.drop, (drop) => edit({ drop }))}</div>
  </div>`;
}

/** @param {Form} form @param {"merge" | "bake"} kind @param {import("../types.d.ts").Entry} entry @param {import("../types.d.ts").Entry[]} files @param {Edit} edit */
export function mergeForm(form, kind, entry, files, edit) {
  const free = files.filter((file) => file.id !== entry.id && usable(file) && !form.others.some(({ id }) => id === file.id));
  const part = (/** @type {string} */ name, /** @type {number} */ strength, /** @type {(strength: number) => void} */ set, /** @type {(() => void) | null} */ remove) => html`<li>
    <bdi>${name}</bdi>
    <input type="range" min="-1" max="2" step="0.05" aria-label="Strength of ${name}" .value=${String(strength)} @input=${(/** @type {Event} */ { target }) => set(Number(/** @type {HTMLInputElement} */ (target).value))} />
    <output>${strength.toFixed(2)}</output>
    ${remove ? html`<button class="quiet" type="button" aria-label="Leave ${name} out" @click=${remove}>${cross}</button>` : html`<span></span>`}
  </li>`;
  return html`<div class="change-form">
    <ul class="parts">
      ${kind === "merge" ? part(entry.name, form.strength, (strength) => edit({ strength }), null) : nothing}
      ${form.others.map(({ id, strength }, at) =>
        part(
          files.find((file) => file.id === id)?.name ?? "",
          strength,
          (strength) => edit({ others: form.others.with(at, { id, strength }) }),
          () => edit({ others: form.others.toSpliced(at, 1) }),
        ),
      )}
    </ul>
    ${free.length
      ? select("merge-with", "Add a file", "", [["", "Choose…"], ...free.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]))], (id) => edit({ others: [...form.others, { id, strength: 1 }] }))
      : html`<p class="fine">${form.others.length ? "Drop more files to add them." : "Drop the LoRA on the page; it is then listed here."}</p>`}
    ${kind === "merge"
      ? html`${ruleFields(form, [["energy", "exact: the ranks add up"], ["fixed", "the same everywhere"]], edit)} ${dtypeField(form, edit)}
          <div class="checks">${box("change-drop", "Leave out what cannot be added (DoRA, OFT)", form.drop, (drop) => edit({ drop }))}</div>`
      : nothing}
  </div>`;
}

/** @param {Form} form @param {import("../types.d.ts").Entry} entry @param {import("../types.d.ts").Entry[]} files @param {Edit} edit */
export function extractForm(form, entry, files, edit) {
  const bases = files.filter((file) => file.id !== entry.id && file.report?.kind === "checkpoint");
  return html`<div class="change-form">
    ${bases.length
      ? select("extract-base", "The model it was trained from", form.others[0]?.id ?? "", [["", "Choose…"], ...bases.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]))], (id) =>
          edit({ others: id ? [{ id, strength: 1 }] : [] }),
        )
      : html`<p class="fine">Drop the model that it was trained from on the page; it is then listed here.</p>`}
    ${number("change-fixed", "Rank of every layer", form.fixed, 1, 1024, 1, (fixed) => edit({ fixed }))}
    ${select("change-to", "Names", form.to || "kohya", Object.entries(TARGETS), (to) => edit({ to: /** @type {Form["to"]} */ (to) }))} ${dtypeField(form, edit)}
  </div>`;
}

/** @param {Form} form @param {[string, string][]} rules @param {Edit} edit */
function ruleFields(form, rules, edit) {
  const share = rules[0][1].includes("energy");
  return html`
    ${select("change-rule", "Rank", form.rule, rules, (rule) => edit({ rule: /** @type {Form["rule"]} */ (rule) }))}
    ${form.rule === "fixed"
      ? number("change-fixed", "Rank of every layer", form.fixed, 1, 1024, 1, (fixed) => edit({ fixed }))
      : share
        ? number("change-energy", "Per cent of the energy", form.energy, 1, 100, 0.5, (energy) => edit({ energy }))
        : nothing}
  `;
}

/** @param {Form} form @param {Edit} edit */
function dtypeField({ dtype }, edit) {
  return select("change-dtype", "Precision", dtype, [["", "as it is"], ...Object.entries(DTYPES)], (dtype) => edit({ dtype: /** @type {Form["dtype"]} */ (dtype) }));
}

/** @param {string} id @param {string} name @param {string} chosen @param {[value: string, label: string][]} options @param {(value: string) => void} set */
function select(id, name, chosen, options, set) {
  return html`<label class="field"
    ><span>${name}</span>
    <select id=${id} @change=${(/** @type {Event} */ { target }) => set(/** @type {HTMLSelectElement} */ (target).value)}>
      ${options.map(([value, label]) => html`<option value=${value} ?selected=${value === chosen} .selected=${value === chosen}>${label}</option>`)}
    </select></label
  >`;
}

/** @param {string} id @param {string} name @param {number} value @param {number} least @param {number} most @param {number} step @param {(value: number) => void} set */
function number(id, name, value, least, most, step, set) {
  return html`<label class="field"
    ><span>${name}</span>
    <input
      type="number" id=${id} min=${least} max=${most} step=${step} .value=${formatNumber(value)}
      @change=${(/** @type {Event} */ { target }) => {
        const typed = Number(/** @type {HTMLInputElement} */ (target).value);
        set(Math.min(most, Math.max(least, typed || least)));
      }}
  /></label>`;
}

/** @param {string} id @param {string} name @param {boolean} checked @param {(checked: boolean) => void} set */
function box(id, name, checked, set) {
  return html`<label class="check"
    ><input type="checkbox" id=${id} .checked=${checked} @change=${(/** @type {Event} */ { target }) => set(/** @type {HTMLInputElement} */ (target).checked)} /> ${name}</label
  >`;
}
