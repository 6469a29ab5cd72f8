/**
 * What the header says of the training, for people: trigger words and tags that go into the prompt, settings, images.
 */

import { html, nothing } from "lit-html";
import { formatCount } from "../../core/format.js";
import { tagsOf } from "../../select.js";
import { say, t } from "../../words.js";
import { copy } from "../../ui/icons.js";

/** @typedef {import("../../engine/types.d.ts").Training} Training */
/** @typedef {import("../../types.d.ts").Send} Send */

const FIRST_TAGS = 30;
/** Tags, trigger words, folders and sizes on show: a header may list any number of them. */
const MOST = 200;

/** @type {import("../../types.d.ts").Section<Training>} */
export const trainingSection = {
  id: "training",
  title: "section.training",
  late: true,
  of: ({ report }) => report.training,
  from: ({ report, state }) => [report.training, report.metadata, state.form.prompt],
  view: (training, { report, state, send }) => trainingView(training, report.metadata, state, send),
};

/**
 * @param {Training} training
 * @param {import("../../engine/types.d.ts").Report["metadata"]} metadata
 * @param {import("../../types.d.ts").State} state
 * @param {Send} send
 */
function trainingView(
  { trainer, settings, trigger_words, tags, tag_total, datasets, buckets, preview_key },
  metadata,
  { form },
  send,
) {
  const chosen = tagsOf(form.prompt);
  const preview = preview_key ? metadata[preview_key] : null;
  return html`
    <section class="card training" id="training" aria-labelledby="training-title" data-testid="training">
      <h3 id="training-title">${t("training.title")}</h3>
      ${trainer ? html`<p class="fine">${t("training.with", { trainer })}</p>` : nothing}
      <div class="training-top">
        ${preview ? html`<img class="preview" src=${preview} alt=${t("training.preview")} />` : nothing}
        <div class="words">
          ${trigger_words.length ? triggersView(trigger_words, chosen, send) : nothing}
          ${tags.length ? tagsView(tags, tag_total, chosen, send) : nothing}
        </div>
      </div>
      ${
        settings.length
          ? html`<dl class="fields">
              ${settings.map(
                ({ label, value }) =>
                  html`<div>
                    <dt>${say(label)}</dt>
                    <dd><bdi>${say(value)}</bdi></dd>
                  </div>`,
              )}
            </dl>`
          : nothing
      }
      ${datasets.length ? datasetsView(datasets) : nothing} ${buckets.length ? bucketsView(buckets) : nothing}
    </section>
  `;
}

/** @param {Training["trigger_words"]} words @param {string[]} chosen @param {Send} send */
function triggersView(words, chosen, send) {
  const all = words.map(({ text }) => text).join(", ");
  return html`<h4>${t("training.triggers")}</h4>
    <p class="chips">
      ${words
        .slice(0, MOST)
        .map(({ text, source }) => chipView(text, t("training.click", { source: say(source) }), chosen, send))}
      <button
        class="quiet"
        type="button"
        aria-label=${t("training.copy")}
        title=${t("button.copy")}
        @click=${() => send({ type: "text/copy", text: all, what: t("training.triggers") })}
      >
        ${copy}
      </button>
    </p>
    ${moreLine(words.length)}`;
}

/** @param {Training["tags"]} tags @param {number} total @param {string[]} chosen @param {Send} send */
function tagsView(tags, total, chosen, send) {
  const most = tags[0].count;
  const chip = (/** @type {Training["tags"][number]} */ { tag, count }) =>
    chipView(
      tag,
      t("training.captions", { captions: t("n.caption", { n: count }) }),
      chosen,
      send,
      count,
      count / most,
    );
  return html`<h4>${t("training.tags")} <span class="fine">${t("training.tags_click")}</span></h4>
    <p class="chips">${tags.slice(0, FIRST_TAGS).map(chip)}</p>
    ${
      tags.length > FIRST_TAGS
        ? html`<details>
            <summary>
              ${
                total > tags.length
                  ? t("training.more_of", { n: tags.length - FIRST_TAGS, total: formatCount(total) })
                  : t("training.more", { n: tags.length - FIRST_TAGS })
              }
            </summary>
            <p class="chips">${tags.slice(FIRST_TAGS, MOST).map(chip)}</p>
          </details>`
        : nothing
    }`;
}

/**
 * @param {string} tag
 * @param {string} title
 * @param {string[]} chosen
 * @param {Send} send
 * @param {number} [count]
 * @param {number} [share] of the most frequent tag
 */
function chipView(tag, title, chosen, send, count, share = 0) {
  return html`<button
    class="chip"
    type="button"
    data-weight=${share > 0.66 ? 3 : share > 0.25 ? 2 : 1}
    title=${title}
    aria-pressed=${chosen.includes(tag) ? "true" : "false"}
    @click=${() => send({ type: "tag/toggled", tag })}
  >
    <bdi>${tag}</bdi>${count ? html` <span class="fine">${count}</span>` : nothing}
  </button>`;
}

/** @param {Training["datasets"]} datasets */
function datasetsView(datasets) {
  return html`<h4>${t("training.images")}</h4>
    <div class="scroller" tabindex="0" role="region" aria-label=${t("training.folders")}>
      <table>
        <thead>
          <tr>
            <th scope="col">${t("table.folder")}</th>
            <th scope="col" class="numeric">${t("table.images")}</th>
            <th scope="col" class="numeric">${t("table.repeats")}</th>
          </tr>
        </thead>
        <tbody>
          ${datasets.slice(0, MOST).map(
            ({ folder, images, repeats }) =>
              html`<tr>
                <th scope="row"><bdi>${folder}</bdi></th>
                <td class="numeric">${formatCount(images)}</td>
                <td class="numeric">${repeats}</td>
              </tr>`,
          )}
        </tbody>
      </table>
    </div>
    ${moreLine(datasets.length)}`;
}

/** Sizes as rectangles of their shape, with how many images each has. @param {Training["buckets"]} buckets */
function bucketsView(buckets) {
  const shown = buckets.slice(0, MOST);
  const most = Math.max(1, ...shown.map(({ images }) => images));
  const tallest = Math.max(1, ...shown.flatMap(({ width, height }) => [width, height]));
  return html`<h4>${t("training.sizes")}</h4>
    <ul class="buckets">
      ${shown.map(
        ({ width, height, images }) =>
          html`<li>
            <svg viewBox="0 0 40 40" width="40" height="40" aria-hidden="true">
              <rect
                x=${20 - (20 * width) / tallest}
                y=${40 - (40 * height) / tallest}
                width=${(40 * width) / tallest}
                height=${(40 * height) / tallest}
                rx="2"
                class="step-${Math.max(1, Math.round((6 * images) / most))}"
              />
            </svg>
            <span>${width} × ${height}<br /><span class="fine">${t("n.image", { n: images })}</span></span>
          </li>`,
      )}
    </ul>
    ${moreLine(buckets.length)}`;
}

/** @param {number} length of a list of which MOST are on show */
function moreLine(length) {
  return length > MOST ? html`<p class="fine">${t("message.more", { n: length - MOST })}</p>` : nothing;
}
