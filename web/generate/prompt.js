/** Edits of a prompt at its selection, with the keys of the web UIs: attention weights and completed names. Pure. */

import { loraOptions, stem } from "../select.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {{ text: string, start: number, end: number }} Selected a text, and where its selection starts and ends */

/** By how much Ctrl+Up and Ctrl+Down change a weight: the programs' own defaults. diffusers knows no weights. */
export const WEIGHT_STEPS = { diffusers: 0, a1111: 0.1, comfyui: 0.05 };

/** `(words:1.2)` without parentheses inside, and `<lora:name:0.8>`; the number is the weight. */
const GROUP = /\(([^()<>]*):(\d*\.?\d+)\)/g;
const LORA = /<([^<>]*?):(-?\d*\.?\d+)>/g;

/**
 * The text with the weight at its selection changed by a step; null if nothing is there to weigh.
 * @param {Selected} selected
 * @param {number} step
 * @returns {Selected | null}
 */
export function reweighted({ text, start, end }, step) {
  const lora = around(text, LORA, start, end);
  if (lora) return replaced(text, lora, (name, weight) => `<${name}:${rounded(weight + step)}>`);
  const [from, to] = start === end ? wordAt(text, start) : trimmed(text, start, end);
  const group = around(text, GROUP, start, end);
  // A part of a group that was selected on purpose gets a weight of its own.
  const isWhole =
    group && (start === end || (from - group.index <= 1 && group.index + group[0].length - to <= group[2].length + 2));
  if (group && isWhole) {
    return replaced(text, group, (words, weight) =>
      rounded(weight + step) === 1 ? words : `(${words}:${rounded(Math.max(0, weight + step))})`,
    );
  }
  const words = text.slice(from, to);
  if (!words) return null;
  const weighed = `(${words}:${rounded(1 + step)})`;
  return { text: text.slice(0, from) + weighed + text.slice(to), start: from + 1, end: from + 1 + words.length };
}

/**
 * The match of a pattern that holds the whole selection.
 * @param {string} text
 * @param {RegExp} pattern
 * @param {number} start
 * @param {number} end
 */
function around(text, pattern, start, end) {
  return [...text.matchAll(pattern)].find(({ index, 0: all }) => index <= start && end <= index + all.length);
}

/**
 * The weighed words stay selected.
 * @param {string} text
 * @param {RegExpExecArray} match
 * @param {(words: string, weight: number) => string} as
 */
function replaced(text, { index, 0: all, 1: words, 2: weight }, as) {
  const made = as(words, Number(weight));
  const start = index + made.indexOf(words);
  return { text: text.slice(0, index) + made + text.slice(index + all.length), start, end: start + words.length };
}

/** @param {string} text @param {number} at @returns {[number, number]} */
function wordAt(text, at) {
  const isEnd = (/** @type {string | undefined} */ letter) => !letter || /[\s.,\\/!?%^*;:{}=`~()[\]<>|]/.test(letter);
  let [from, to] = [at, at];
  while (!isEnd(text[from - 1])) from--;
  while (!isEnd(text[to])) to++;
  return [from, to];
}

/** @param {string} text @param {number} start @param {number} end @returns {[number, number]} */
function trimmed(text, start, end) {
  const words = text.slice(start, end);
  return [start + words.length - words.trimStart().length, end - words.length + words.trimEnd().length];
}

/** @param {number} weight */
function rounded(weight) {
  return Math.round(weight * 100) / 100;
}

/**
 * Names that fit what is typed before the cursor, and what each puts in its place; null for none.
 * @param {State} state
 * @param {string} text
 * @param {number} at
 * @returns {State["completion"]}
 */
export function completion(state, text, at) {
  const { program } = state.form;
  const before = text.slice(Math.max(0, at - 200), at);
  const mention = /<lora:([^<>:]*)$/i.exec(before);
  const typed = mention ? mention[1] : (/[^\s,()[\]<>:|]{2,}$/.exec(before)?.[0] ?? "");
  if (!mention && !typed) return null;
  const fits = (/** @type {string} */ name) => name.toLowerCase().includes(typed.toLowerCase()) && name !== typed;
  const loras =
    program === "diffusers"
      ? []
      : loraNames(state)
          .filter(fits)
          .map((name) => ({ name, text: `<lora:${name}:1>` }));
  const embeddings = mention
    ? []
    : embeddingNames(state)
        .filter(fits)
        .map((name) => ({ name, text: program === "comfyui" ? `embedding:${name}` : name }));
  const options = [...loras, ...embeddings].slice(0, 8);
  return options.length ? { from: at - (mention ? mention[0] : typed).length, to: at, options, at: 0 } : null;
}

/** @param {State} state */
function loraNames(state) {
  const { demo, own } = loraOptions(state);
  return [...own.map(({ label }) => label), ...demo.map(({ id }) => stem(id.slice("demo:".length)))];
}

/** @param {State} state */
function embeddingNames({ files }) {
  return files
    .filter(({ report }) => report?.kind === "textual_inversion")
    .map(({ name }) => name.replace(/\.\w+$/, ""));
}
