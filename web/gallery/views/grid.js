/** Two axes -> what changes along them, and the images as a table. */

import { html, nothing } from "lit-html";
import { live } from "lit-html/directives/live.js";
import { MOST_CELLS, axisChoices, axisKinds, axisOf, blockStudy, freshAxis, notFound, ticksOf } from "../../grid.js";
import { t } from "../../words.js";
import { download } from "../../ui/icons.js";
import { progressView } from "../../generate/views/progress.js";
import { blockEffectsView } from "./block-effects.js";
import { tournamentView } from "./tournament.js";
import { withName } from "../../generate/views/result.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").AxisKind} AxisKind */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function gridView(state, send) {
  const { grid, run, demo, device } = state;
  const sides = [axisOf(state, "x"), axisOf(state, "y")];
  const count = sides.reduce((product, axis) => product * ticksOf(state, axis).length, 1);
  const ready =
    device.status === "ready" &&
    (run.status === "idle" || run.live) &&
    demo.catalogue !== null &&
    count > 0 &&
    count <= MOST_CELLS &&
    !sides.some((axis) => notFound(state, axis));
  return html`
    <details class="card grid" id="grid" data-testid="grid">
      <summary>
        <h3>${t("grid.title")}</h3>
        <span class="fine">${t("grid.says")}</span>
      </summary>
      <div class="inside">
        <div class="axes">
          ${axisView(state, "x", t("grid.across"), send)} ${axisView(state, "y", t("grid.down"), send)}
          <p class="go">
            <button
              class="button primary"
              type="button"
              id="draw-grid"
              aria-disabled=${ready ? "false" : "true"}
              @click=${() => ready && send({ type: "grid/draw" })}
            >
              ${t("grid.draw", { images: t("n.image", { n: count }) })}
            </button>
            ${studyView(state, send)}
            <span class="fine">${count > MOST_CELLS ? t("grid.most", { n: MOST_CELLS }) : t("grid.rest")}</span>
          </p>
        </div>
        ${run.grid && run.status !== "idle" ? progressView(run, demo, send) : nothing}
        ${grid ? gridResult(state, grid, send) : nothing}
      </div>
    </details>
  `;
}

/**
 * During a blind vote the table, which has the names, is not there.
 * @param {State} state
 * @param {import("../../types.d.ts").Grid} grid
 * @param {Send} send
 */
function gridResult(state, grid, send) {
  const { vote } = state;
  const voting = vote !== null && vote.votes.length < vote.pairs.length;
  return html`${blockEffectsView(state, grid, send)} ${tournamentView(state, grid, send)}
  ${voting ? nothing : tableView(grid, state.smooth, send)}`;
}

/** What each block does, at one click: the axis is set, and the grid drawn. @param {State} state @param {Send} send */
function studyView(state, send) {
  const axis = blockStudy(state);
  const { run, device } = state;
  if (!axis) return nothing;
  const ready = device.status === "ready" && (run.status === "idle" || run.live);
  const draw = () => {
    send({ type: "axis/changed", side: "x", change: axis });
    send({ type: "grid/draw" });
  };
  return html`<button
    class="button"
    type="button"
    id="draw-blocks"
    aria-disabled=${ready ? "false" : "true"}
    @click=${() => ready && draw()}
  >
    ${t("blocks.draw")}
  </button>`;
}

/** @param {State} state @param {"x" | "y"} side @param {string} name @param {Send} send */
function axisView(state, side, name, send) {
  const axis = axisOf(state, side);
  const other = axisOf(state, side === "x" ? "y" : "x").kind;
  const choices = axisChoices(state, axis.kind);
  const change = (/** @type {Partial<State["axes"]["x"]>} */ change) => send({ type: "axis/changed", side, change });
  const kinds = axisKinds(state).filter(([kind]) => kind === "none" || kind !== other);
  return html`
    <fieldset class="axis">
      <label class="field">
        <span>${name}</span>
        <select
          id="axis-${side}"
          @change=${(/** @type {Event} */ { target }) =>
            change(freshAxis(state, /** @type {AxisKind} */ (/** @type {HTMLSelectElement} */ (target).value)))}
        >
          ${kinds.map(
            ([kind, label]) => html`<option value=${kind} .selected=${live(kind === axis.kind)}>${label}</option>`,
          )}
        </select>
      </label>
      ${
        choices
          ? html`<div class="chips" role="group" aria-label=${t("grid.values_of", { side: name.toLowerCase() })}>
              ${choices.map(({ value, label }) => {
                const on = axis.chosen.includes(String(value));
                const chosen = on ? axis.chosen.filter((each) => each !== value) : [...axis.chosen, String(value)];
                return html`<button
                  class="chip"
                  type="button"
                  aria-pressed=${on ? "true" : "false"}
                  @click=${() => change({ chosen })}
                >
                  ${label}
                </button>`;
              })}
            </div>`
          : axis.kind === "none"
            ? nothing
            : valuesView(state, side, axis, change)
      }
    </fieldset>
  `;
}

/**
 * The values of an axis as they are typed.
 * @param {State} state
 * @param {"x" | "y"} side
 * @param {State["axes"]["x"]} axis
 * @param {(change: Partial<State["axes"]["x"]>) => void} change
 */
function valuesView(state, side, axis, change) {
  const missing = notFound(state, axis);
  return html`<label class="field">
      <span>${t("grid.values")} <span class="fine">${t("grid.commas")}</span></span>
      <input
        type="text"
        id="values-${side}"
        inputmode="text"
        autocomplete="off"
        .value=${live(axis.text)}
        @input=${(/** @type {Event} */ { target }) => change({ text: /** @type {HTMLInputElement} */ (target).value })}
      />
    </label>
    <p class="fine ${missing ? "over" : ""}">
      ${
        axis.kind === "search"
          ? missing
            ? t("grid.not_found", { text: missing })
            : t("grid.search_says")
          : t("grid.ranges")
      }
    </p>`;
}

/**
 * @param {import("../../types.d.ts").Grid["cells"]} cells
 * @param {number} at
 * @param {boolean} smooth
 * @param {Send} send
 */
function cellView(cells, at, smooth, send) {
  const drawing = cells[at];
  const name = drawing
    ? t("grid.cell", { name: withName(drawing) || t("grid.no_lora"), seed: drawing.recipe.seed })
    : "";
  return html`<td>
    ${
      drawing
        ? html`<button
            type="button"
            class="thumb"
            aria-label=${t("grid.look", { name })}
            @click=${() => send({ type: "grid/picked", at })}
          >
            <pixel-image .room=${144} .image=${drawing.image} ?smooth=${smooth} label=""></pixel-image>
          </button>`
        : html`<div class="blank"></div>`
    }
  </td>`;
}

/** @param {import("../../types.d.ts").Grid} grid @param {boolean} smooth @param {Send} send */
function tableView({ title, x, y, cells }, smooth, send) {
  return html`
    <div class="scroller" tabindex="0" role="region" aria-label=${t("grid.label")}>
      <table class="cells">
        <caption class="visually-hidden">
          ${title}
        </caption>
        ${
          x.name
            ? html`<thead>
                <tr>
                  ${y.name ? html`<td></td>` : nothing}${x.ticks.map(
                    ({ label }) => html`<th scope="col">${label}</th>`,
                  )}
                </tr>
              </thead>`
            : nothing
        }
        <tbody>
          ${y.ticks.map(
            ({ label }, row) =>
              html`<tr>
                ${y.name ? html`<th scope="row">${label}</th>` : nothing}${x.ticks.map((_, column) =>
                  cellView(cells, row * x.ticks.length + column, smooth, send),
                )}
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${countView({ title, x, y, cells }, send)}
  `;
}

/** What is drawn, and the ways to save it. @param {import("../../types.d.ts").Grid} grid @param {Send} send */
function countView({ title, x, y, cells }, send) {
  const drawn = cells.filter((cell) => cell !== null).length;
  const button = (
    /** @type {string} */ id,
    /** @type {"grid/download" | "grid/animate"} */ type,
    /** @type {string} */ name,
  ) =>
    html`<button class="button small" type="button" id=${id} @click=${() => send({ type })}>
      ${download} ${name}
    </button>`;
  const varied = x.name && y.name ? t("grid.two", { x: x.name, y: y.name }) : x.name || y.name || title;
  return html`<p class="downloads">
    ${drawn ? button("download-grid", "grid/download", t("grid.png")) : nothing}
    ${drawn > 1 ? button("animate-grid", "grid/animate", t("grid.gif")) : nothing}
    <span class="fine" data-testid="grid-count"
      >${t("grid.drawn", { drawn, images: t("n.image", { n: cells.length }), what: varied })} ${t("grid.click")}</span
    >
  </p>`;
}
