/** Two axes -> what changes along them, and the pictures as a table. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { plural } from "../format.js";
import { MOST_CELLS, axisChoices, axisKinds, freshAxis, ticksOf } from "../grid.js";
import { download } from "./icons.js";
import { progressView } from "./progress.js";
import { withName } from "./result.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").AxisKind} AxisKind */
/** @typedef {import("../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function gridView(state, send) {
  const { grid, run, demo, gpu, axes } = state;
  const count = ticksOf(state, axes.x).length * ticksOf(state, axes.y).length;
  const ready = gpu.status === "ready" && (run.status === "idle" || run.live) && demo.catalogue !== null && count > 0 && count <= MOST_CELLS;
  return html`
    <details class="card grid" id="grid" data-testid="grid">
      <summary><h3>Many at once</h3> <span class="fine">a strip of strengths, or a grid of two things that change</span></summary>
      <div class="inside">
        <div class="axes">
        ${axisView(state, "x", "Across", send)} ${axisView(state, "y", "Down", send)}
        <p class="go">
          <button class="button primary" type="button" id="draw-grid" aria-disabled=${ready ? "false" : "true"} @click=${() => ready && send({ type: "grid/draw" })}>
            Draw ${plural(count, "picture")}
          </button>
          <span class="fine">${count > MOST_CELLS ? `At most ${MOST_CELLS} at once: take out some values.` : "Everything else is as in the form above."}</span>
        </p>
      </div>
      ${run.grid && run.status !== "idle" ? progressView(run, demo, send) : nothing}
      ${grid ? tableView(grid, state.smooth, send) : nothing}
      </div>
    </details>
  `;
}

/** @param {State} state @param {"x" | "y"} side @param {string} name @param {Send} send */
function axisView(state, side, name, send) {
  const axis = state.axes[side];
  const other = state.axes[side === "x" ? "y" : "x"].kind;
  const choices = axisChoices(state, axis.kind);
  const change = (/** @type {Partial<State["axes"]["x"]>} */ change) => send({ type: "axis/changed", side, change });
  const kinds = axisKinds(state).filter(([kind]) => kind === "none" || kind !== other);
  return html`
    <fieldset class="axis">
      <label class="field">
        <span>${name}</span>
        <select
          id="axis-${side}"
          @change=${(/** @type {Event} */ { target }) => change(freshAxis(state, /** @type {AxisKind} */ (/** @type {HTMLSelectElement} */ (target).value)))}
        >
          ${kinds.map(([kind, label]) => html`<option value=${kind} .selected=${live(kind === axis.kind)}>${label}</option>`)}
        </select>
      </label>
      ${choices
        ? html`<div class="chips" role="group" aria-label="Values, ${name.toLowerCase()}">
            ${choices.map(({ value, label }) => {
              const on = axis.chosen.includes(String(value));
              const chosen = on ? axis.chosen.filter((each) => each !== value) : [...axis.chosen, String(value)];
              return html`<button class="chip" type="button" aria-pressed=${on ? "true" : "false"} @click=${() => change({ chosen })}>${label}</button>`;
            })}
          </div>`
        : axis.kind === "none"
          ? nothing
          : html`<label class="field">
              <span>Values <span class="fine">with commas between them</span></span>
              <input
                type="text" id="values-${side}" inputmode="text" autocomplete="off" .value=${live(axis.text)}
                @input=${(/** @type {Event} */ { target }) => change({ text: /** @type {HTMLInputElement} */ (target).value })}
              />
            </label>`}
    </fieldset>
  `;
}

/** @param {import("../types.d.ts").Grid} grid @param {boolean} smooth @param {Send} send */
function tableView({ title, x, y, cells }, smooth, send) {
  const drawn = cells.filter((cell) => cell !== null).length;
  const cell = (/** @type {number} */ at) => {
    const drawing = cells[at];
    const name = drawing ? `${withName(drawing) || "no LoRA"}, seed ${drawing.recipe.seed}` : "";
    return html`<td>
      ${drawing
        ? html`<button type="button" class="thumb" aria-label="Look at ${name}" @click=${() => send({ type: "grid/picked", at })}>
            <pixel-picture .room=${144} .picture=${drawing.picture} ?smooth=${smooth} label=""></pixel-picture>
          </button>`
        : html`<div class="blank"></div>`}
    </td>`;
  };
  return html`
    <div class="scroller" tabindex="0" role="region" aria-label="The grid">
      <table class="cells">
        <caption class="visually-hidden">${title}</caption>
        ${x.name
          ? html`<thead><tr>${y.name ? html`<td></td>` : nothing}${x.ticks.map(({ label }) => html`<th scope="col">${label}</th>`)}</tr></thead>`
          : nothing}
        <tbody>
          ${y.ticks.map(
            ({ label }, row) =>
              html`<tr>${y.name ? html`<th scope="row">${label}</th>` : nothing}${x.ticks.map((_, column) => cell(row * x.ticks.length + column))}</tr>`,
          )}
        </tbody>
      </table>
    </div>
    <p class="downloads">
      ${drawn ? html`<button class="button small" type="button" id="download-grid" @click=${() => send({ type: "grid/downloaded" })}>${download} PNG of the grid</button>` : nothing}
      <span class="fine" data-testid="grid-count">${drawn} of ${plural(cells.length, "picture")}: ${[x.name, y.name].filter(Boolean).join(" across, ") || title}${x.name && y.name ? " down" : ""}. A click puts one among this visit’s pictures.</span>
    </p>
  `;
}
