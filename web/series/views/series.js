/** A training run: what its files say in words, as charts, and as a table with a row per file. */

import { html, nothing } from "lit-html";
import { formatFixed, formatNumber } from "../../core/format.js";
import { download } from "../../ui/icons.js";
import { messageView } from "../../ui/message.js";
import { sentenceView } from "../../ui/text.js";
import { t, word } from "../../words.js";
import { blocksView, linesView } from "./charts.js";

/** @typedef {import("../../types.d.ts").SeriesState} SeriesState */
/** @typedef {import("../../types.d.ts").TrainingRun} TrainingRun */
/** @typedef {import("../../types.d.ts").SeriesChart} SeriesChart */
/** @typedef {import("../../types.d.ts").Send} Send */
/** @typedef {import("../../engine/types.d.ts").SeriesSummary} Summary */
/** @typedef {import("../../engine/types.d.ts").SeriesFile} SeriesFile */

/** @type {SeriesChart[]} */
const CHARTS = ["norm", "moved", "part", "block"];

/** @param {SeriesState} series @param {string} selected @param {Send} send */
export function seriesView(series, selected, send) {
  const { runs, chosen, status, summary, error } = series;
  const run = runs[chosen];
  return html`
    <section
      class="card series"
      id="series"
      aria-labelledby="series-title"
      data-testid="series"
      data-status=${status}
      data-summarized=${summary ? "yes" : "no"}
    >
      <header class="series-head">
        <h2 id="series-title">${t("series.title", { name: run.name || run.files[0].name })}</h2>
        <p class="fine">${spanOf(run)}</p>
      </header>
      ${runs.length > 1 ? runsView(runs, chosen, send) : nothing} ${statusView(series, send)}
      ${error ? messageView({ title: t("series.failed"), severity: "warn", ...error }) : nothing}
      ${summary ? numbersView(series, run, summary, send) : nothing} ${tableView(run, summary, selected, send)}
    </section>
  `;
}

/** "12 files, epochs 1 to 12". @param {TrainingRun} run */
function spanOf({ files }) {
  const span = (/** @type {"epoch" | "step"} */ key) => {
    const numbers = files.flatMap((file) => file[key] ?? []);
    return numbers.length > 1
      ? t(key === "epoch" ? "series.epochs" : "series.steps", { first: numbers[0], last: numbers[numbers.length - 1] })
      : "";
  };
  return [t("n.file", { n: files.length }), span("epoch"), span("step")].filter(Boolean).join(", ");
}

/** @param {TrainingRun[]} runs @param {number} chosen @param {Send} send */
function runsView(runs, chosen, send) {
  return html`<div class="segments" role="group" aria-label=${t("series.runs")}>
    ${runs.map(
      ({ name, files }, at) =>
        html`<button
          type="button"
          aria-pressed=${at === chosen ? "true" : "false"}
          @click=${() => send({ type: "series/chosen", at })}
        >
          <bdi>${name || files[0].name}</bdi>
        </button>`,
    )}
  </div>`;
}

/** @param {SeriesState} series @param {Send} send */
function statusView({ status, done }, send) {
  if (status === "reading") {
    return html`<div class="progress" data-testid="series-progress">
      <div>
        <p id="series-what">${t("series.reading")}</p>
        <progress max="1" .value=${done} aria-labelledby="series-what"></progress>
      </div>
      <button class="button" type="button" id="series-stop" @click=${() => send({ type: "series/stop" })}>
        ${t("button.cancel")}
      </button>
    </div>`;
  }
  if (status === "read") return nothing;
  return html`<p>
    <button class="button" type="button" id="series-start" @click=${() => send({ type: "series/start" })}>
      ${t("series.measure")}
    </button>
  </p>`;
}

/**
 * @param {SeriesState} series
 * @param {TrainingRun} run
 * @param {Summary} summary
 * @param {Send} send
 */
function numbersView({ chart, status, losses }, run, summary, send) {
  const labels = run.files.map(shortLabel);
  const places = placesOf(run.files);
  return html`
    ${
      status === "read"
        ? html`<ul class="changes" data-testid="series-sentences">
            ${summary.sentences.map((sentence) => html`<li>${sentenceView(sentence)}</li>`)}
          </ul>`
        : nothing
    }
    <div class="segments" role="group" aria-label=${t("series.chart")}>
      ${[...CHARTS, ...(losses.length ? /** @type {const} */ (["loss"]) : [])].map(
        (name) =>
          html`<button
            type="button"
            data-chart=${name}
            aria-pressed=${name === chart ? "true" : "false"}
            @click=${() => send({ type: "series/chart", chart: name })}
          >
            ${word("series_chart", name)}
          </button>`,
      )}
    </div>
    ${
      chart === "block"
        ? blocksView(summary.blocks, labels)
        : linesView(chart === "loss" ? losses : linesOf(chart, summary), labels, places)
    }
    <p class="fine">${word("series_says", chart)}</p>
  `;
}

/** @param {SeriesChart} chart @param {Summary} summary */
function linesOf(chart, { totals, parts }) {
  if (chart === "part") return parts.map(({ name, norms }) => ({ name: word("series_part", name), values: norms }));
  const value = (/** @type {import("../../engine/types.d.ts").SeriesTotal} */ total) =>
    total[chart === "norm" ? "norm" : "moved"];
  return [{ name: word("series_chart", chart), values: totals.map(value) }];
}

/**
 * Where the files stand along the axis: by their steps, where all have some, else by their epochs or their order.
 * @param {SeriesFile[]} files
 */
function placesOf(files) {
  for (const key of /** @type {const} */ (["step", "epoch"])) {
    const places = files.map((file) => file[key] ?? NaN);
    if (places.every((place, at) => at === 0 || place > places[at - 1])) return places;
  }
  return files.map((_, at) => at);
}

/** What an axis says of a file. @param {SeriesFile} file */
function shortLabel({ epoch, step, name }) {
  return String(epoch ?? step ?? name);
}

/**
 * @param {TrainingRun} run
 * @param {Summary | null} summary
 * @param {string} selected
 * @param {Send} send
 */
function tableView({ files, ids }, summary, selected, send) {
  const number = (/** @type {number | null | undefined} */ value) =>
    typeof value === "number" ? formatNumber(value) : "";
  return html`<div class="scroller tall" tabindex="0" role="region" aria-label=${t("series.table")}>
      <table>
        <thead>
          <tr>
            <th scope="col">${t("table.file")}</th>
            ${["epoch", "step", "norm", "moved", "cosine", "rank"].map(
              (name) =>
                html`<th scope="col" class="numeric" title=${word("series_about", name)}>
                  ${word("series_column", name)}
                </th>`,
            )}
          </tr>
        </thead>
        <tbody>
          ${files.map(({ name, epoch, step }, at) => {
            const total = summary?.totals[at];
            const cosine = typeof total?.cosine === "number" ? formatFixed(total.cosine, 4) : "";
            return html`<tr aria-current=${ids[at] === selected ? "true" : "false"}>
              <th scope="row">
                <button class="link" type="button" @click=${() => send({ type: "folder/open", id: ids[at] })}>
                  <bdi>${name}</bdi>
                </button>
              </th>
              <td class="numeric">${epoch ?? ""}</td>
              <td class="numeric">${step ?? ""}</td>
              <td class="numeric">${number(total?.norm)}</td>
              <td class="numeric">${number(total?.moved)}</td>
              <td class="numeric">${cosine}</td>
              <td class="numeric">${number(total?.effective_rank)}</td>
            </tr>`;
          })}
        </tbody>
      </table>
    </div>
    ${actionsView(summary, send)}`;
}

/** @param {Summary | null} summary @param {Send} send */
function actionsView(summary, send) {
  return html`<p class="made-actions">
    <button
      class="button small"
      type="button"
      id="series-draw"
      title=${t("series.draw_says")}
      @click=${() => send({ type: "series/draw" })}
    >
      ${t("series.draw")}
    </button>
    ${
      summary
        ? html`<button
            class="button small"
            type="button"
            id="series-json"
            @click=${() => send({ type: "series/save" })}
          >
            ${download} JSON
          </button>`
        : nothing
    }
  </p>`;
}
