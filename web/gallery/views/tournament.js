/** The blind vote: two images of a grid of LoRAs at a time without their names, then the ranking. */

import { html, nothing } from "lit-html";
import { formatFixed } from "../../core/format.js";
import { entryById } from "../../select.js";
import { language, t } from "../../words.js";
import { pairsOf, ranking, shuffled, winnersOf } from "../tournament.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Grid} Grid */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Grid} grid @param {Send} send */
export function tournamentView(state, grid, send) {
  const { vote } = state;
  if (vote) return html`<div class="vote" data-testid="vote">${votingView(state, grid, vote, send)}</div>`;
  const pairs = grid.x.kind === "lora" && grid.cells.every(Boolean) ? pairsOf(grid) : [];
  if (!pairs.length) return nothing;
  return html`<p class="vote-offer">
    <button
      class="button"
      type="button"
      id="vote-start"
      @click=${() => send({ type: "vote/started", pairs: shuffled(pairs, Math.random) })}
    >
      ${t("vote.start")}
    </button>
    <span class="fine">${t("vote.says", { n: pairs.length })}</span>
  </p>`;
}

/** @param {State} state @param {Grid} grid @param {import("../../types.d.ts").Vote} vote @param {Send} send */
function votingView(state, grid, { pairs, votes }, send) {
  const pair = pairs[votes.length];
  if (!pair) return rankingView(state, grid, votes, send);
  const image = (/** @type {number} */ column) => grid.cells[pair.row * grid.x.ticks.length + column]?.image;
  const choose = (/** @type {"left" | "right" | "same"} */ choice) => send({ type: "vote/given", choice });
  return html`
    <h4 id="vote-title">${t("vote.which", { at: votes.length + 1, n: pairs.length })}</h4>
    <div class="vote-pair" role="group" aria-labelledby="vote-title">
      ${
        /** @type {const} */ (["left", "right"]).map(
          (side) =>
            html`<button type="button" class="thumb" id="vote-${side}" @click=${() => choose(side)}>
              <pixel-image
                .room=${320}
                .image=${image(pair[side])}
                ?smooth=${state.smooth}
                label=${t(side === "left" ? "vote.left" : "vote.right")}
              ></pixel-image>
            </button>`,
        )
      }
    </div>
    <p class="made-actions">
      <button class="button small" type="button" id="vote-same" @click=${() => choose("same")}>
        ${t("vote.same")}
      </button>
      <button class="button small" type="button" id="vote-stop" @click=${() => send({ type: "vote/ended" })}>
        ${t("button.cancel")}
      </button>
    </p>
  `;
}

/**
 * Whose file is one click away.
 * @param {State} state @param {import("../../types.d.ts").Tick[]} winners @param {Send} send
 */
function winnersView(state, winners, send) {
  const names = new Intl.ListFormat(language()).format(winners.map(({ label }) => label));
  const [{ value }] = winners;
  const id = String(value);
  const button = (/** @type {string} */ name, /** @type {string} */ label, /** @type {() => void} */ act) =>
    html`<button class="button small" type="button" id="winner-${name}" @click=${act}>${label}</button>`;
  return html`<p data-testid="winner" role="status">
      ${t(winners.length > 1 ? "vote.winners" : "vote.winner", { names })}
    </p>
    ${
      winners.length === 1 && entryById(state, id)
        ? html`<p class="made-actions">
            ${button("use", t("vote.use"), () => send({ type: "row/changed", index: 0, change: { id, on: true } }))}
            ${button("report", t("vote.report"), () => send({ type: "files/select", id }))}
            ${button("save", t("vote.save"), () => send({ type: "files/save", id }))}
          </p>`
        : nothing
    }`;
}

/**
 * @param {State} state
 * @param {Grid} grid
 * @param {import("../../types.d.ts").Vote["votes"]} votes
 * @param {Send} send
 */
function rankingView(state, { x }, votes, send) {
  const ranked = ranking(x.ticks.length, votes);
  return html`
    <h4>${t("vote.ranking")}</h4>
    ${winnersView(
      state,
      winnersOf(ranked).map((column) => x.ticks[column]),
      send,
    )}
    <table data-testid="ranking">
      <thead>
        <tr>
          <th scope="col" class="numeric">${t("vote.place")}</th>
          <th scope="col">${t("axis.lora")}</th>
          <th scope="col" class="numeric">${t("vote.wins")}</th>
        </tr>
      </thead>
      <tbody>
        ${ranked.map(({ column, wins, played }, at) => {
          const { value, label } = x.ticks[column];
          const id = String(value);
          return html`<tr>
            <td class="numeric">${at + 1}</td>
            <th scope="row">
              ${
                entryById(state, id)
                  ? html`<button class="link" type="button" @click=${() => send({ type: "files/select", id })}>
                      <bdi>${label}</bdi>
                    </button>`
                  : label
              }
            </th>
            <td class="numeric">${t("layer.of", { enough: formatFixed(wins, 1), all: played })}</td>
          </tr>`;
        })}
      </tbody>
    </table>
    <p>
      <button class="button small" type="button" id="vote-close" @click=${() => send({ type: "vote/ended" })}>
        ${t("vote.again")}
      </button>
    </p>
  `;
}
