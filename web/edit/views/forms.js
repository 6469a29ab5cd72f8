/** What can be asked of a conversion, a resize and a merge. */

import { html, nothing } from "lit-html";
import { formatFixed } from "../../core/format.js";
import { usable } from "../../select.js";
import { t, word } from "../../words.js";
import { cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").ChangeForm} Form */
/** @typedef {import("./change.js").Edit} Edit */

/** Algorithms that can become a LoRA without the base model. */
const COMPOSED = /^(loha|lokr|locon_tucker|adalora|vera|delora|miss|bone|shira)/;
/** Algorithms that can become one with its weights. */
const OF_BASE = /^(oft|diag_oft|boft|hra|ia3|peft_ia3|glora|dora)/;
/** Rank of LoRAs of changes of full rank. */
const RANK = 64;

/** Conventions of names that can be written. @type {import("../../engine/types.d.ts").Target[]} */
const TARGETS = ["kohya", "peft", "diffusers", "comfy", "onetrainer", "aitoolkit"];
const DTYPES = ["F16", "BF16", "F32"];

const targets = () => TARGETS.map((name) => /** @type {[string, string]} */ ([name, word("target", name)]));

/**
 * @param {Form} form
 * @param {import("../../engine/types.d.ts").Report} report
 * @param {import("../../types.d.ts").Entry[]} files
 * @param {Edit} edit
 */
export function convertForm(form, report, files, edit) {
  const composed = report.algorithms.some((name) => COMPOSED.test(name));
  const ofBase = report.algorithms.filter((name) => OF_BASE.test(name));
  const bases = ofBase.length ? checkpoints(files) : [];
  return html`<div class="change-form">
    ${select("change-to", t("fact.names"), form.to, [["", t("option.as_are")], ...targets()], (to) =>
      edit({ to: /** @type {Form["to"]} */ (to) }),
    )}
    ${dtypeField(form, edit)}
    ${select(
      "change-alpha",
      t("fact.alpha"),
      form.alpha,
      [
        ["usual", t("alpha.usual")],
        ["kept", t("alpha.kept")],
        ["baked", t("alpha.baked")],
      ],
      (alpha) => edit({ alpha: /** @type {Form["alpha"]} */ (alpha) }),
    )}
    ${
      bases.length
        ? select("convert-base", t("convert.of_base"), form.others[0]?.id ?? "", [["", "–"], ...bases], (id) =>
            edit({ others: id ? [{ id, strength: 1 }] : [], asLora: !!id, rank: id ? (form.rank ?? RANK) : null }),
          )
        : nothing
    }
    <div class="checks">
      ${composed ? box("change-lora", t("convert.as_lora"), form.asLora, (asLora) => edit({ asLora })) : nothing}
      ${form.asLora ? rankField(form, edit) : nothing}
      ${box("change-drop", t("convert.drop"), form.drop, (drop) => edit({ drop }))}
      ${
        report.leftovers.length
          ? box("change-keep", t("convert.keep"), form.keepLeftovers, (keepLeftovers) => edit({ keepLeftovers }))
          : nothing
      }
    </div>
    ${
      ofBase.length && !bases.length
        ? html`<p class="fine">
            ${t("convert.needs_base", { algorithm: ofBase.map((name) => word("algorithm", name)).join(", ") })}
          </p>`
        : nothing
    }
    ${form.toBlocks ? html`<p class="fine">${t("convert.blocks", { blocks: form.toBlocks })}</p>` : nothing}
    ${
      form.without.length
        ? html`<p class="fine">
            ${t("convert.without", {
              layers: t("n.layer", { n: form.without.length }),
              names: form.without.slice(0, 3).join(", ") + (form.without.length > 3 ? " …" : ""),
            })}
            <button class="button small" type="button" @click=${() => edit({ without: [] })}>
              ${t("convert.keep_them")}
            </button>
          </p>`
        : nothing
    }
  </div>`;
}

/** @param {Form} form @param {Edit} edit */
function rankField(form, edit) {
  return html`<label class="field narrow"
    ><span>${t("convert.rank")}</span>
    <input
      type="number"
      min="1"
      max="4096"
      id="change-rank"
      placeholder=${t("convert.exact")}
      .value=${form.rank === null ? "" : String(form.rank)}
      @change=${(/** @type {Event} */ { target }) =>
        edit({ rank: Number(/** @type {HTMLInputElement} */ (target).value) || null })}
  /></label>`;
}

/** @param {Form} form @param {Edit} edit */
export function resizeForm(form, edit) {
  return html`<div class="change-form">
    ${ruleFields(form, t("resize.energy"), true, edit)} ${dtypeField(form, edit)}
    <div class="checks">${box("change-drop", t("resize.drop"), form.drop, (drop) => edit({ drop }))}</div>
  </div>`;
}

/**
 * A file that is merged, and its strength.
 * @param {string} name
 * @param {number} strength
 * @param {(strength: number) => void} set
 * @param {(() => void) | null} remove
 */
function part(name, strength, set, remove) {
  return html`<li>
    <bdi>${name}</bdi>
    <input
      type="range"
      min="-1"
      max="2"
      step="0.05"
      aria-label=${t("merge.strength", { name })}
      .value=${String(strength)}
      @input=${(/** @type {Event} */ { target }) => set(Number(/** @type {HTMLInputElement} */ (target).value))}
    />
    <output>${formatFixed(strength)}</output>
    ${
      remove
        ? html`<button class="quiet" type="button" aria-label=${t("merge.remove", { name })} @click=${remove}>
            ${cross}
          </button>`
        : html`<span></span>`
    }
  </li>`;
}

/**
 * @param {Form} form
 * @param {"merge" | "bake"} kind
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../types.d.ts").Entry[]} files
 * @param {Edit} edit
 */
export function mergeForm(form, kind, entry, files, edit) {
  const free = files.filter(
    (file) => file.id !== entry.id && usable(file) && !form.others.some(({ id }) => id === file.id),
  );
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
    ${
      free.length
        ? select(
            "merge-with",
            t("merge.add"),
            "",
            [["", t("option.choose")], ...free.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]))],
            (id) => edit({ others: [...form.others, { id, strength: 1 }] }),
          )
        : html`<p class="fine">${form.others.length ? t("merge.more") : t("merge.first")}</p>`
    }
    ${
      kind === "merge"
        ? html`${methodFields(form, entry, files, edit)}
            ${ruleFields(form, t(isSparse(form) ? "merge.largest_rank" : "merge.exact"), false, edit)}
            ${dtypeField(form, edit)}
            <div class="checks">${box("change-drop", t("merge.drop"), form.drop, (drop) => edit({ drop }))}</div>`
        : nothing
    }
  </div>`;
}

/** @type {Form["method"][]} */
const METHODS = ["linear", "ties", "dare", "dare_ties", "prune", "slerp", "blocks"];

/** Whether elements are left out, so that the result is approximated. @param {Form} form */
const isSparse = ({ method }) => ["ties", "dare", "dare_ties", "prune"].includes(method);

/**
 * @param {Form} form
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../types.d.ts").Entry[]} files
 * @param {Edit} edit
 */
function methodFields(form, entry, files, edit) {
  const { method, density, seed, position } = form;
  const options = METHODS.map((name) => /** @type {[string, string]} */ ([name, word("merge_method", name)]));
  const tooMany = method === "slerp" && form.others.length > 1;
  return html`
    ${select("merge-method", t("merge.method"), method, options, (name) => edit(methodChosen(name, form, entry)))}
    ${isSparse(form) ? densityField(density, edit) : nothing}
    ${
      method === "dare" || method === "dare_ties"
        ? number("merge-seed", t("merge.seed"), seed, 0, 2 ** 32 - 1, 1, (seed) => edit({ seed }))
        : nothing
    }
    ${
      method === "slerp"
        ? number("merge-position", t("merge.position"), position, 0, 100, 1, (position) => edit({ position }))
        : nothing
    }
    <p class="fine">${word("merge_says", method)} ${tooMany ? t("merge.two") : nothing}</p>
    ${method === "blocks" && form.others.length ? donorsView(form, entry, files, edit) : nothing}
  `;
}

/** @param {number} density @param {Edit} edit */
function densityField(density, edit) {
  return number("merge-density", t("merge.density"), density, 1, 100, 1, (density) => edit({ density }));
}

/**
 * Block by block, all come from the file on show at first.
 * @param {string} name
 * @param {Form} form
 * @param {import("../../types.d.ts").Entry} entry
 * @returns {Partial<Form>}
 */
function methodChosen(name, { donors }, { report }) {
  const method = /** @type {Form["method"]} */ (name);
  if (method !== "blocks") return { method };
  const blocks = (report?.coverage ?? []).map(({ component, block }) =>
    component.startsWith("text_encoder") ? "TE" : block,
  );
  return { method, donors: Object.fromEntries(blocks.map((block) => [block, donors[block] ?? 0])) };
}

/**
 * @param {Form} form
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../types.d.ts").Entry[]} files
 * @param {Edit} edit
 */
function donorsView({ donors, others }, entry, files, edit) {
  const names = [entry.name, ...others.map(({ id }) => files.find((file) => file.id === id)?.name ?? "")];
  const options = names.map((name, at) => /** @type {[string, string]} */ ([String(at), name]));
  return html`<fieldset class="donors">
    <legend>${t("merge.donors")}</legend>
    ${Object.entries(donors).map(([block, donor]) =>
      select(`donor-${block}`, block, String(donor), options, (at) =>
        edit({ donors: { ...donors, [block]: Number(at) } }),
      ),
    )}
  </fieldset>`;
}

/**
 * @param {Form} form
 * @param {import("../../types.d.ts").Entry} entry
 * @param {import("../../types.d.ts").Entry[]} files
 * @param {Edit} edit
 */
export function extractForm(form, entry, files, edit) {
  const bases = checkpoints(files).filter(([id]) => id !== entry.id);
  return html`<div class="change-form">
    ${
      bases.length
        ? select(
            "extract-base",
            t("extract.base"),
            form.others[0]?.id ?? "",
            [["", t("option.choose")], ...bases],
            (id) => edit({ others: id ? [{ id, strength: 1 }] : [] }),
          )
        : html`<p class="fine">${t("extract.first")}</p>`
    }
    ${number("change-fixed", t("resize.rank"), form.fixed, 1, 1024, 1, (fixed) => edit({ fixed }))}
    ${select("change-to", t("fact.names"), form.to || "kohya", targets(), (to) =>
      edit({ to: /** @type {Form["to"]} */ (to) }),
    )}
    ${dtypeField(form, edit)}
  </div>`;
}

/** Ids and names of the open checkpoints. @param {import("../../types.d.ts").Entry[]} files */
function checkpoints(files) {
  const found = files.filter((file) => file.report?.kind === "checkpoint");
  return found.map(({ id, name }) => /** @type {[string, string]} */ ([id, name]));
}

/**
 * @param {Form} form
 * @param {string} energy what the rule by energy is called here
 * @param {boolean} share whether it asks for a share
 * @param {Edit} edit
 */
function ruleFields(form, energy, share, edit) {
  return html`
    ${select(
      "change-rule",
      t("fact.rank"),
      form.rule,
      [
        ["energy", energy],
        ["fixed", t("resize.fixed")],
      ],
      (rule) => edit({ rule: /** @type {Form["rule"]} */ (rule) }),
    )}
    ${
      form.rule === "fixed"
        ? number("change-fixed", t("resize.rank"), form.fixed, 1, 1024, 1, (fixed) => edit({ fixed }))
        : share
          ? number("change-energy", t("resize.percent"), form.energy, 1, 100, 0.5, (energy) => edit({ energy }))
          : nothing
    }
  `;
}

/** @param {Form} form @param {Edit} edit */
function dtypeField({ dtype }, edit) {
  return select(
    "change-dtype",
    t("fact.precision"),
    dtype,
    [["", t("option.as_is")], ...DTYPES.map((name) => /** @type {[string, string]} */ ([name, word("dtype", name)]))],
    (dtype) => edit({ dtype: /** @type {Form["dtype"]} */ (dtype) }),
  );
}

/**
 * @param {string} id
 * @param {string} name
 * @param {string} chosen
 * @param {[value: string, label: string][]} options
 * @param {(value: string) => void} set
 */
function select(id, name, chosen, options, set) {
  return html`<label class="field"
    ><span>${name}</span>
    <select
      id=${id}
      @change=${(/** @type {Event} */ { target }) => set(/** @type {HTMLSelectElement} */ (target).value)}
    >
      ${options.map(
        ([value, label]) =>
          html`<option value=${value} ?selected=${value === chosen} .selected=${value === chosen}>${label}</option>`,
      )}
    </select></label
  >`;
}

/**
 * @param {string} id
 * @param {string} name
 * @param {number} value
 * @param {number} least
 * @param {number} most
 * @param {number} step
 * @param {(value: number) => void} set
 */
function number(id, name, value, least, most, step, set) {
  return html`<label class="field"
    ><span>${name}</span>
    <input
      type="number"
      id=${id}
      min=${least}
      max=${most}
      step=${step}
      .value=${String(value)}
      @change=${(/** @type {Event} */ { target }) => {
        const typed = Number(/** @type {HTMLInputElement} */ (target).value);
        set(Math.min(most, Math.max(least, typed || least)));
      }}
  /></label>`;
}

/** @param {string} id @param {string} name @param {boolean} checked @param {(checked: boolean) => void} set */
export function box(id, name, checked, set) {
  return html`<label class="check"
    ><input
      type="checkbox"
      id=${id}
      .checked=${checked}
      @change=${(/** @type {Event} */ { target }) => set(/** @type {HTMLInputElement} */ (target).checked)}
    />
    ${name}</label
  >`;
}
