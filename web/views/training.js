/** What the header says of the training, for people: trigger words and tags that go into the prompt, settings, pictures. */

import { html, nothing } from "lit-html";
import { plural } from "../format.js";
import { tagsOf } from "../select.js";
import { copy } from "./icons.js";

/** @typedef {import("../engine/types.d.ts").Training} Training */
/** @typedef {import("../types.d.ts").Send} Send */

const FIRST_TAGS = 30;

/** @param {Training} training @param {import("../engine/types.d.ts").Report["metadata"]} metadata @param {import("../types.d.ts").State} state @param {Send} send */
export function trainingView({ trainer, settings, trigger_words, tags, tag_total, datasets, buckets, preview_key }, metadata, { form }, send) {
  const chosen = tagsOf(form.prompt);
  const preview = preview_key ? metadata[preview_key] : null;
  return html`
    <section class="card training" id="training" aria-labelledby="training-title" data-testid="training">
      <h3 id="training-title">How it was trained</h3>
      ${trainer ? html`<p class="fine">With ${trainer}, by the marks that it leaves</p>` : nothing}
      <div class="training-top">
        ${preview ? html`<img class="preview" src=${preview} alt="The preview that is kept in the file" />` : nothing}
        <div class="words">
          ${trigger_words.length ? triggersView(trigger_words, chosen, send) : nothing}
          ${tags.length ? tagsView(tags, tag_total, chosen, send) : nothing}
        </div>
      </div>
      ${settings.length
        ? html`<dl class="fields">${settings.map(({ label, value }) => html`<div><dt>${label}</dt><dd><bdi>${value}</bdi></dd></div>`)}</dl>`
        : nothing}
      ${datasets.length ? datasetsView(datasets) : nothing} ${buckets.length ? bucketsView(buckets) : nothing}
    </section>
  `;
}

/** @param {Training["trigger_words"]} words @param {string[]} chosen @param {Send} send */
function triggersView(words, chosen, send) {
  const all = words.map(({ text }) => text).join(", ");
  return html`<h4>Trigger words</h4>
    <p class="chips">
      ${words.map(({ text, source }) => chipView(text, `${source}. Click to add it to the prompt.`, chosen, send))}
      <button class="quiet" type="button" aria-label="Copy the trigger words" title="Copy" @click=${() => send({ type: "text/copied", text: all, what: "Trigger words" })}>
        ${copy}
      </button>
    </p>`;
}

/** @param {Training["tags"]} tags @param {number} total @param {string[]} chosen @param {Send} send */
function tagsView(tags, total, chosen, send) {
  const most = tags[0].count;
  const chip = (/** @type {Training["tags"][number]} */ { tag, count }) =>
    chipView(tag, `In ${plural(count, "caption")}. Click to add it to the prompt.`, chosen, send, count, count / most);
  return html`<h4>Tags of the training captions <span class="fine">click to build a prompt</span></h4>
    <p class="chips">${tags.slice(0, FIRST_TAGS).map(chip)}</p>
    ${tags.length > FIRST_TAGS
      ? html`<details>
          <summary>${tags.length - FIRST_TAGS} more${total > tags.length ? `, of ${total.toLocaleString("en")} in all` : ""}</summary>
          <p class="chips">${tags.slice(FIRST_TAGS).map(chip)}</p>
        </details>`
      : nothing}`;
}

/** @param {string} tag @param {string} title @param {string[]} chosen @param {Send} send @param {number} [count] @param {number} [share] of the most frequent tag */
function chipView(tag, title, chosen, send, count, share = 0) {
  return html`<button
    class="chip" type="button" data-weight=${share > 0.66 ? 3 : share > 0.25 ? 2 : 1} title=${title}
    aria-pressed=${chosen.includes(tag) ? "true" : "false"} @click=${() => send({ type: "tag/toggled", tag })}
  >
    <bdi>${tag}</bdi>${count ? html` <span class="fine">${count}</span>` : nothing}
  </button>`;
}

/** @param {Training["datasets"]} datasets */
function datasetsView(datasets) {
  return html`<h4>Training pictures</h4>
    <div class="scroller" tabindex="0" role="region" aria-label="Folders of training pictures">
      <table>
        <thead><tr><th scope="col">Folder</th><th scope="col" class="numeric">Pictures</th><th scope="col" class="numeric">Repeats</th></tr></thead>
        <tbody>
          ${datasets.map(
            ({ folder, images, repeats }) =>
              html`<tr><th scope="row"><bdi>${folder}</bdi></th><td class="numeric">${images.toLocaleString("en")}</td><td class="numeric">${repeats}</td></tr>`,
          )}
        </tbody>
      </table>
    </div>`;
}

/** Sizes as rectangles of their shape, with how many pictures each has. @param {Training["buckets"]} buckets */
function bucketsView(buckets) {
  const most = Math.max(...buckets.map(({ images }) => images));
  const tallest = Math.max(...buckets.flatMap(({ width, height }) => [width, height]));
  return html`<h4>Sizes that they were brought to</h4>
    <ul class="buckets">
      ${buckets.map(
        ({ width, height, images }) => html`<li>
          <svg viewBox="0 0 40 40" width="40" height="40" aria-hidden="true">
            <rect
              x=${20 - (20 * width) / tallest} y=${40 - (40 * height) / tallest} width=${(40 * width) / tallest} height=${(40 * height) / tallest}
              rx="2" class="step-${Math.max(1, Math.round((6 * images) / most))}"
            />
          </svg>
          <span>${width} × ${height}<br /><span class="fine">${plural(images, "picture")}</span></span>
        </li>`,
      )}
    </ul>`;
}
