/** What most images need no change of: schedule, noise, program, a second pass, clip skip. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { t } from "../../words.js";
import { checkInto, choiceField, numberField } from "../../ui/fields.js";

/** @typedef {import("../../types.d.ts").Form} Form */

/** @typedef {import("../../engine/types.d.ts").ModelInfo} ModelInfo */
/** @typedef {(change: Partial<Form>) => void} Change */

const RNG_SAYS = /** @type {const} */ ({
  torch: "advanced.torch_says",
  philox: "advanced.philox_says",
  torch_philox: "advanced.torch_philox_says",
});

/**
 * @param {Form} form
 * @param {ModelInfo | null} info
 * @param {string[]} upscalers that are open
 * @param {Change} change
 */
export function advancedView(form, info, upscalers, change) {
  const isFresh = info?.fresh.includes(form.sampler);
  const eta = (/** @type {{ eta?: number }} */ { eta }) => eta !== undefined && change({ eta });
  return html`
    <details class="advanced" id="advanced">
      <summary>${t("advanced.title")}</summary>
      <div class="inside numbers">
        ${samplingView(form, info, change)}
        ${
          isFresh
            ? html`${numberField(
                  t("advanced.eta"),
                  "eta",
                  form.eta ?? usualEta(form.sampler),
                  { min: 0, max: 1, step: 0.05, mode: "decimal" },
                  eta,
                )}
                <p class="fine beside">${t("advanced.eta_says")}</p>`
            : nothing
        }
        ${modelView(form, change)} ${form.program === "a1111" ? a1111View(form, change) : nothing}
        ${secondPassView(form, upscalers, change)}
        <label class="check whole">
          <input type="checkbox" id="preview" .checked=${live(form.preview)} @change=${checkInto("preview", change)} />
          ${t("advanced.preview")}
        </label>
        ${numberField(t("advanced.clip_skip"), "clipSkip", form.clipSkip, { min: 1, max: 12, step: 1 }, change)}
        <p class="fine beside">${t("advanced.clip_says")}</p>
      </div>
    </details>
  `;
}

/**
 * The noise and its levels, and the program whose rules hold.
 * @param {Form} form
 * @param {ModelInfo | null} info
 * @param {Change} change
 */
function samplingView(form, info, change) {
  return html`${choiceField(
      t("advanced.schedule"),
      "schedule",
      form.schedule,
      [["", t("option.models")], ...schedules(form, info)],
      change,
    )}
    ${choiceField(
      t("advanced.spacing"),
      "spacing",
      form.spacing,
      [
        ["", t("option.models")],
        ["leading", t("option.leading")],
        ["linspace", t("option.linspace")],
        ["trailing", t("option.trailing")],
      ],
      change,
    )}
    <div class="whole">
      ${choiceField(
        t("advanced.noise"),
        "rng",
        form.rng,
        [
          ["torch", t("advanced.torch")],
          ["philox", "Philox"],
          ["torch_philox", t("advanced.torch_philox")],
        ],
        change,
      )}
      <p class="fine">${t(RNG_SAYS[form.rng])}</p>
    </div>
    <div class="whole">
      ${choiceField(
        t("advanced.program"),
        "program",
        form.program,
        [
          ["diffusers", "diffusers"],
          ["a1111", "AUTOMATIC1111"],
          ["comfyui", "ComfyUI"],
        ],
        change,
      )}
      <p class="fine">${form.program === "diffusers" ? t("advanced.diffusers_says") : t("advanced.web_ui_says")}</p>
    </div>`;
}

/**
 * The schedule types of the program; before a model is open, only the chosen one.
 * @param {Form} form @param {ModelInfo | null} info @returns {[string, string][]}
 */
function schedules({ schedule, program }, info) {
  if (!info) return schedule ? [[schedule, schedule]] : [];
  const offered = info.schedules.filter(({ is_web_ui_only }) => program !== "diffusers" || !is_web_ui_only);
  return offered.map(({ name, label }) => [name, label]);
}

/** What the files of a model may say wrongly or not at all. @param {Form} form @param {Change} change */
function modelView(form, change) {
  return html`
    ${choiceField(
      t("advanced.prediction"),
      "prediction",
      form.prediction,
      [
        ["", t("option.models")],
        ["epsilon", t("option.epsilon")],
        ["v_prediction", t("option.v_prediction")],
        ["sample", t("option.sample")],
      ],
      change,
    )}
    ${choiceField(
      t("advanced.zero_snr"),
      "zeroSnr",
      form.zeroSnr,
      [
        ["", t("option.models")],
        ["on", t("option.on")],
        ["off", t("option.off")],
      ],
      change,
    )}
    ${numberField(
      t("advanced.rescale"),
      "guidanceRescale",
      form.guidanceRescale,
      { min: 0, max: 1, step: 0.05, mode: "decimal" },
      change,
    )}
    <p class="fine beside">${t("advanced.rescale_says")}</p>
  `;
}

/** Settings of A1111, and those that a restored image brought along. @param {Form} form @param {Change} change */
function a1111View(form, change) {
  const { web_ui, variation, seed_resize } = form.carried;
  const seeds = {
    variation: variation && `${variation.seed} × ${variation.strength}`,
    seed_resize: seed_resize?.join("×"),
  };
  const said = Object.entries({ ...web_ui, ...seeds })
    .filter(([, value]) => value)
    .map(([name, value]) => `${name}: ${value}`);
  return html`
    ${choiceField(
      t("advanced.emphasis"),
      "emphasis",
      form.emphasis,
      [
        ["original", "Original"],
        ["no_norm", "No norm"],
        ["ignore", "Ignore"],
        ["none", "None"],
      ],
      change,
    )}
    <label class="check whole">
      <input type="checkbox" id="padConds" .checked=${live(form.padConds)} @change=${checkInto("padConds", change)} />
      ${t("advanced.pad_conds")}
    </label>
    ${
      said.length
        ? html`<p class="fine whole">
            ${t("advanced.carried", { settings: said.join(", ") })}
            <button class="chip" type="button" id="uncarry" @click=${() => change({ carried: {} })}>
              ${t("advanced.uncarry")}
            </button>
          </p>`
        : nothing
    }
  `;
}

/**
 * A second pass over the image at a larger size.
 * @param {Form} form
 * @param {string[]} upscalers that are open
 * @param {Change} change
 */
function secondPassView(form, upscalers, change) {
  const isNetwork = !["", "latent", "pixels"].includes(form.hires);
  const names = [...new Set([...upscalers, ...(isNetwork ? [form.hires] : [])])];
  return html`
    <div class="whole">
      ${choiceField(
        t("advanced.hires"),
        "hires",
        form.hires,
        [
          ["", t("option.none")],
          ["latent", t("advanced.latent")],
          ["pixels", t("advanced.pixels")],
          ...names.map((name) => /** @type {[string, string]} */ ([name, name])),
        ],
        change,
      )}
      ${
        form.hires
          ? html`<p class="fine">
              ${
                isNetwork
                  ? t(upscalers.includes(form.hires) ? "advanced.network_says" : "advanced.no_network")
                  : t(form.hires === "latent" ? "advanced.latent_says" : "advanced.pixels_says")
              }
            </p>`
          : nothing
      }
    </div>
    ${
      form.hires
        ? html`${numberField(
              t("advanced.times"),
              "hiresScale",
              form.hiresScale,
              { min: 1.05, max: 4, step: 0.05, mode: "decimal" },
              change,
            )}
            ${numberField(
              t("advanced.change"),
              "hiresDenoise",
              form.hiresDenoise,
              { min: 0, max: 1, step: 0.05, mode: "decimal" },
              change,
            )}
            ${numberField(
              t("advanced.pass_steps"),
              "hiresSteps",
              form.hiresSteps,
              { min: 0, max: 100, step: 1 },
              change,
            )}
            <p class="fine beside">${t("advanced.pass_steps_says")}</p>`
        : nothing
    }
  `;
}

/** What a sampler takes unless it is told. @param {string} sampler */
function usualEta(sampler) {
  return ["ddim", "ddim_cfg_pp", "tcd"].includes(sampler) ? 0 : 1;
}
