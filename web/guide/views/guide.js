/** The guided minute with the demo: five things to do, each ticked when it is done. */

import { html, nothing } from "lit-html";
import { rich, t } from "../../words.js";
import { check, cross } from "../../ui/icons.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function guideView({ guide, demo, device }, send) {
  if (!guide) return nothing;
  const broken = demo.catalogue?.loras.find((lora) => lora.broken);
  const open = () => broken && send({ type: "demo/open", id: `demo:${broken.file}` });
  /** @type {[import("../../types.d.ts").GuideStep, unknown, boolean][]} */
  const steps = [
    ["look", rich("guide.look", { a: (/** @type {string} */ text) => html`<a href="#look">${text}</a>` }), true],
    [
      "draw",
      rich("guide.draw", { a: (/** @type {string} */ text) => html`<a href="#run">${text}</a>` }),
      device.status !== "missing",
    ],
    ["slide", t("guide.slide"), device.status !== "missing"],
    ["swap", t("guide.swap"), device.status !== "missing"],
    [
      "fix",
      rich("guide.fix", {
        a: (/** @type {string} */ text) => html`<a href="#look" id="open-broken" @click=${open}>${text}</a>`,
      }),
      broken !== undefined,
    ],
  ];
  const shown = steps.filter(([, , possible]) => possible);
  return html`
    <section class="card guide" aria-labelledby="guide-title" data-testid="guide">
      <header>
        <h2 id="guide-title">${t("guide.title")}</h2>
        <button
          class="quiet"
          type="button"
          aria-label=${t("guide.close")}
          @click=${() => send({ type: "guide/closed" })}
        >
          ${cross}
        </button>
      </header>
      <ol>
        ${shown.map(([step, what]) => {
          const done = guide.includes(step);
          return html`<li data-step=${step} ?data-done=${done}>
            <span class="tick"
              >${done ? html`${check}<span class="visually-hidden">${t("guide.done")}</span>` : nothing}</span
            >
            <span>${what}</span>
          </li>`;
        })}
      </ol>
    </section>
  `;
}
