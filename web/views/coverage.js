/** Coverage by block -> a strip in network order: height says how much of a block is changed, colour how strongly. */

import { html, nothing, svg } from "lit-html";
import { formatNumber } from "../format.js";
import { COMPONENTS, word } from "../words.js";

/** @typedef {import("../engine/types.d.ts").Coverage} Block */
/** @typedef {import("../types.d.ts").Send} Send */

/** Steps of the colour scale; the styles know step-0 to step-5. */
const STEPS = 5;
/** The bars' top edge and height, in pixels. */
const TOP = 20;
const TALL = 48;

/**
 * @param {import("../engine/types.d.ts").Report} report
 * @param {string} pointed @param {string} chosen block keys
 * @param {Send} send
 */
export function coverageView({ coverage }, pointed, chosen, send) {
  const strongest = Math.max(...coverage.map(({ norm }) => norm));
  const rows = Object.keys(COMPONENTS)
    .map((component) => coverage.filter((block) => block.component === component))
    .filter((blocks) => blocks.some(({ covered }) => covered > 0));
  const longest = Math.max(14, ...rows.map((blocks) => place(blocks).length));
  return html`
    <section class="card coverage" aria-labelledby="coverage-title" data-testid="coverage">
      <h3 id="coverage-title">Where it acts</h3>
      ${rows.map((blocks) => stripView(blocks, { longest, strongest, pointed, chosen }, send))}
      <p class="detail" data-testid="block-detail">${detail(coverage, pointed || chosen, chosen)}</p>
      ${legendView(strongest)} ${numbersView(coverage)}
    </section>
  `;
}

/** @param {Block} block */
const keyOf = ({ component, block }) => `${component}/${block}`;

/**
 * Each block's distance from the left, in cells, with a gap before each new group (BASE, IN, MID, OUT, END), and the
 * words over and under it: a numbered group has its name over its first block, any other under its only one.
 * @param {Block[]} blocks
 */
function place(blocks) {
  let x = 0;
  let group = "";
  const cells = blocks.map((block) => {
    const [, name, number] = /** @type {RegExpMatchArray} */ (block.block.match(/^(\D*)(.*)$/));
    const opens = name !== group;
    if (opens && group) x += 0.7;
    group = name;
    return { block, x: x++, over: opens && number ? name : "", under: number.replace(/^0+(?=.)/, "") || name.toLowerCase() };
  });
  return { cells, length: x };
}

/**
 * @param {Block[]} blocks
 * @param {{ longest: number, strongest: number, pointed: string, chosen: string }} look
 * @param {Send} send
 */
function stripView(blocks, { longest, strongest, pointed, chosen }, send) {
  const unit = 100 / longest;
  const { cells } = place(blocks);
  const title = word(COMPONENTS, blocks[0].component);
  const active = cells.find(({ block }) => keyOf(block) === (pointed || chosen));
  return html`
    <div class="strip">
      <p class="strip-title">${title}</p>
      <svg
        width="100%"
        height=${TOP + TALL + 18}
        role="listbox"
        tabindex="0"
        aria-label="${title}: blocks in network order. Arrow keys move, Enter lists the block's modules."
        aria-activedescendant=${active ? cellId(active.block) : nothing}
        @keydown=${(/** @type {KeyboardEvent} */ event) => onKey(event, blocks, active?.block, send)}
        @mouseleave=${() => send({ type: "block/pointed", block: "" })}
        @blur=${() => send({ type: "block/pointed", block: "" })}
      >
        ${cells.map(({ block, x, over, under }) => {
          const key = keyOf(block);
          const tall = block.total ? (TALL * block.covered) / block.total : 0;
          return svg`<g id=${cellId(block)} role="option" class="cell"
              aria-selected=${key === chosen ? "true" : "false"} aria-label=${sentence(block)}
              data-pointed=${key === pointed ? "" : nothing}
              @mouseenter=${() => send({ type: "block/pointed", block: key })}
              @click=${() => send({ type: "block/chosen", block: key })}>
            ${over && over !== "TE" ? svg`<text class="group" x="${x * unit}%" y="12">${over}</text>` : nothing}
            <rect class="room" x="${x * unit}%" y=${TOP} width="${unit * 0.86}%" height=${TALL} rx="2" />
            <rect class="step-${step(block.norm, strongest)}" x="${x * unit}%" y=${TOP + TALL - tall} width="${unit * 0.86}%" height=${tall} rx="2" />
            <text class="under ${Number(under) % 2 ? "odd" : ""}" x="${(x + 0.43) * unit}%" y=${TOP + TALL + 14}>${under}</text>
          </g>`;
        })}
      </svg>
    </div>
  `;
}

/** @param {Block} block */
const cellId = (block) => `block-${keyOf(block).replace(/\W/g, "-")}`;

/** @param {number} norm @param {number} strongest */
function step(norm, strongest) {
  return strongest > 0 && norm > 0 ? Math.min(STEPS, Math.max(1, Math.ceil((STEPS * norm) / strongest))) : 0;
}

/** @param {Block} block */
function sentence({ label, block, covered, total, norm }) {
  if (!covered) return `${label || block}: not changed (0 of ${total} modules)`;
  return `${label || block}: ${covered} of ${total} modules, strength ${formatNumber(norm)}`;
}

/** @param {Block[]} coverage @param {string} key @param {string} chosen */
function detail(coverage, key, chosen) {
  const block = coverage.find((each) => keyOf(each) === key);
  if (!block) return "Point at a block to see it; click it to list its modules.";
  return html`<strong>${block.block}</strong> ${sentence(block)}${key === chosen ? " — listed below" : ""}`;
}

/** @param {KeyboardEvent} event @param {Block[]} blocks @param {Block | undefined} active @param {Send} send */
function onKey(event, blocks, active, send) {
  const at = active ? blocks.indexOf(active) : -1;
  /** @type {Record<string, number>} */
  const targets = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: blocks.length - 1 };
  if (event.key in targets) {
    const block = blocks[Math.min(blocks.length - 1, Math.max(0, targets[event.key]))];
    send({ type: "block/pointed", block: keyOf(block) });
  } else if (active && (event.key === "Enter" || event.key === " ")) {
    send({ type: "block/chosen", block: keyOf(active) });
  } else return;
  event.preventDefault();
}

/** @param {number} strongest */
function legendView(strongest) {
  return html`
    <div class="legend">
      <span>Height: share of the block's modules that the file changes.</span>
      <span class="scale">
        Colour: strength, 0
        <svg width="90" height="12" aria-hidden="true">
          ${Array.from({ length: STEPS }, (_, i) => svg`<rect class="step-${i + 1}" x=${i * 18} width="17" height="12" rx="2" />`)}
        </svg>
        ${formatNumber(strongest)}
        <abbr title="The size of the change to the weights at strength 1: its Frobenius norm over the block's modules.">norm</abbr>
      </span>
    </div>
  `;
}

/** The same for those who do not see the strip. @param {Block[]} coverage */
function numbersView(coverage) {
  return html`
    <details>
      <summary>As a table</summary>
      <div class="scroller" tabindex="0" role="region" aria-label="Coverage by block">
        <table>
          <thead>
            <tr><th scope="col">Part</th><th scope="col">Block</th><th scope="col">Modules</th><th scope="col">Strength</th></tr>
          </thead>
          <tbody>
            ${coverage.map(
              (block) => html`<tr>
                <td>${word(COMPONENTS, block.component)}</td>
                <th scope="row">${block.label || block.block}</th>
                <td>${block.covered} of ${block.total}</td>
                <td>${formatNumber(block.norm)}</td>
              </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </details>
  `;
}
