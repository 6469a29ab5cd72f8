/** The guided minute with the demo: five things to do, each ticked when it is done. */

import { html, nothing } from "lit-html";
import { check, cross } from "./icons.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function guideView({ guide, demo, gpu }, send) {
  if (!guide) return nothing;
  const broken = demo.catalogue?.loras.find((lora) => lora.broken);
  const open = () => broken && send({ type: "demo/opened", id: `demo:${broken.file}` });
  /** @type {[import("../types.d.ts").GuideStep, unknown, boolean][]} */
  const steps = [
    ["look", html`<a href="#look">See the report</a>: what the file is, and where it acts.`, true],
    ["draw", html`<a href="#run">Press Generate</a>: one seed, without the LoRA and with it.`, gpu.status !== "missing"],
    ["slide", html`Slide its strength, and generate again; below 0 it acts the other way round.`, gpu.status !== "missing"],
    ["swap", html`Swap the LoRA for another in the list.`, gpu.status !== "missing"],
    [
      "fix",
      html`<a href="#look" id="open-broken" @click=${open}>Open the broken one</a>: its report says why most programs pass it
        over; “Change it” mends it.`,
      broken !== undefined,
    ],
  ];
  const shown = steps.filter(([, , possible]) => possible);
  return html`
    <section class="card guide" aria-labelledby="guide-title" data-testid="guide">
      <header>
        <h2 id="guide-title">A minute with the demo</h2>
        <button class="quiet" type="button" aria-label="Close the guide" @click=${() => send({ type: "guide/closed" })}>${cross}</button>
      </header>
      <ol>
        ${shown.map(([step, what]) => {
          const done = guide.includes(step);
          return html`<li data-step=${step} ?data-done=${done}>
            <span class="tick">${done ? html`${check}<span class="visually-hidden">done</span>` : nothing}</span> <span>${what}</span>
          </li>`;
        })}
      </ol>
    </section>
  `;
}
