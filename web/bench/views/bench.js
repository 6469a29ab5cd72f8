/** How fast the user's graphics card runs the kernels: shown where the address ends in #bench. */

import { html, nothing } from "lit-html";
import { benchText, figures, verdict } from "../state.js";
import { t, word } from "../../words.js";
import { messageView } from "../../ui/message.js";

/** @typedef {import("../../types.d.ts").State} State */
/** @typedef {import("../../types.d.ts").Send} Send */

/** @param {State} state @param {Send} send */
export function benchView({ bench, run, device }, send) {
  if (!bench.shown) return nothing;
  const { status, rows, all, adapter, error } = bench;
  const running = status === "running";
  const barred = run.status !== "idle" || device.status !== "ready";
  return html`
    <section class="card" id="bench" aria-labelledby="bench-title" data-testid="bench">
      <h2 id="bench-title" tabindex="-1">${t("bench.title")}</h2>
      <p>${t("bench.says")}</p>
      <p class="made-actions">
        ${
          running
            ? html`<button class="button" type="button" id="bench-stop" @click=${() => send({ type: "bench/stop" })}>
                ${t("button.stop")}
              </button>`
            : html`<button
                class="button"
                type="button"
                id="bench-run"
                aria-disabled=${barred ? "true" : "false"}
                @click=${() => barred || send({ type: "bench/run" })}
              >
                ${t("bench.run")}
              </button>`
        }
        ${
          rows.length && !running
            ? html`<button
                  class="button"
                  type="button"
                  id="bench-copy"
                  @click=${() => send({ type: "text/copy", text: benchText(bench), what: t("bench.table") })}
                >
                  ${t("button.copy")}
                </button>
                <button class="button" type="button" id="bench-save" @click=${() => send({ type: "bench/save" })}>
                  ${t("bench.save")}
                </button>`
            : nothing
        }
      </p>
      <p role="status" data-testid="bench-status">
        ${
          running
            ? t("bench.running", { done: rows.length, all: all || "…" })
            : rows.length
              ? t("bench.done", { adapter })
              : nothing
        }
      </p>
      ${
        error
          ? messageView({ title: t("bench.failed"), message: error.message, severity: "refuse", kind: error.kind })
          : nothing
      }
      ${rows.length ? tableView(rows) : nothing}
    </section>
  `;
}

/** @param {import("../../engine/types.d.ts").Row[]} rows */
function tableView(rows) {
  return html`<div class="scroller" tabindex="0" role="region" aria-label=${t("bench.table")}>
    <table>
      <thead>
        <tr>
          ${[t("bench.what"), t("bench.verdict"), t("bench.share"), t("bench.median"), t("bench.range"), "GFLOP/s"].map(
            (name, at) => html`<th scope="col" class=${at > 1 ? "numeric" : ""}>${name}</th>`,
          )}
        </tr>
      </thead>
      <tbody>
        ${rows.map((row) => {
          const { median, min, max, gflops, percent } = figures(row);
          const isRoof = row.group === "roof";
          const rate = row.name.startsWith("copy") ? `${gflops} GB/s` : gflops;
          const found = verdict(row);
          const cells = [percent, isRoof ? "" : median, isRoof ? "" : `${min} – ${max}`, rate];
          return html`<tr>
            <th scope="row">${row.name}</th>
            <td>${found ? word("bench", found) : ""}</td>
            ${cells.map((cell) => html`<td class="numeric">${cell}</td>`)}
          </tr>`;
        })}
      </tbody>
    </table>
  </div>`;
}
