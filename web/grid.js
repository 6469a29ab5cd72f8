/** Two axes and the form -> the grid to be drawn: its ticks, and each cell's form. Pure. */

import { sliders, strengthsText } from "./inspect/blocks.js";
import { ROWS, boundedValue, choicesOf } from "./generate/options.js";
import { clamp, entryById, loraOptions, tagsOf } from "./select.js";
import { t } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Axis} Axis */
/** @typedef {import("./types.d.ts").AxisKind} AxisKind */
/** @typedef {import("./types.d.ts").Tick} Tick */
/** @typedef {import("./types.d.ts").Form} Form */

/** The most images of one grid. */
export const MOST_CELLS = 64;

/** Strengths of LoRAs that a grid can have, and its usual ones. */
const STRENGTHS = { min: -4, max: 4, usual: "-1, -0.5, 0, 0.5, 1, 1.5" };

/** The options that grids can vary. */
const VARIED = ROWS.filter(({ axis }) => axis);

/** @param {AxisKind} kind */
const optionOf = (kind) => VARIED.find(({ id }) => id === kind);

/** What can change along an axis, for people. @param {State} state @returns {[AxisKind, string][]} */
export function axisKinds(state) {
  const { form } = state;
  const several = form.loras.length > 1;
  const strengths = form.loras.map(
    (_, at) =>
      /** @type {[AxisKind, string]} */ ([
        `strength:${at}`,
        several ? t("axis.strength_of", { n: at + 1 }) : t("axis.strength"),
      ]),
  );
  const blocks = form.loras.flatMap(({ id }, at) =>
    entryById(state, id)?.report
      ? [
          /** @type {[AxisKind, string]} */ ([
            `blocks:${at}`,
            several ? t("axis.blocks_of", { n: at + 1 }) : t("axis.blocks"),
          ]),
        ]
      : [],
  );
  return [
    ["none", t("axis.none")],
    ...strengths,
    ...blocks,
    ["lora", t("axis.lora")],
    ["search", t("axis.search")],
    ...VARIED.filter(({ when }) => when?.(state) !== false).map(
      ({ id, label }) => /** @type {[AxisKind, string]} */ ([id, t(label)]),
    ),
  ];
}

/** An axis; one of nothing while there is no such option or LoRA. @param {State} state @param {"x" | "y"} side */
export function axisOf(state, side) {
  const axis = state.axes[side];
  const isThere = axisKinds(state).some(([kind]) => kind === axis.kind);
  return isThere ? axis : { ...axis, kind: /** @type {const} */ ("none") };
}

/**
 * Names or ids that an axis of choices offers; null for one whose values are typed.
 * @param {State} state
 * @param {AxisKind} kind
 * @returns {Tick[] | null}
 */
export function axisChoices(state, kind) {
  const option = optionOf(kind);
  if (option?.choices) return choicesOf(option, state).map(([value, label]) => ({ value, label }));
  if (kind.startsWith("blocks:"))
    return blockChoices(entryById(state, state.form.loras[numberOf(kind)]?.id ?? "")?.report);
  if (kind !== "lora") return null;
  const { demo, own } = loraOptions(state);
  return [{ value: "", label: t("grid.no_lora") }, ...[...own, ...demo].map(({ id, label }) => ({ value: id, label }))];
}

/**
 * All blocks, none or only one of each kind, and all but one.
 * @param {import("./engine/types.d.ts").Report | null | undefined} report
 * @returns {Tick[]}
 */
function blockChoices(report) {
  const groups = report
    ? sliders(report).map(({ name, blocks }) => ({ name, blocks: blocks.map(({ block }) => block) }))
    : [];
  const all = groups.flatMap(({ blocks }) => blocks);
  const off = (/** @type {string[]} */ blocks) => strengthsText(Object.fromEntries(blocks.map((block) => [block, 0])));
  const choices = [
    { value: "", label: t("axis.all") },
    ...groups.map(({ name, blocks }) => ({ value: off(blocks), label: t("axis.without", { name }) })),
    ...groups.map(({ name, blocks }) => ({
      value: off(all.filter((block) => !blocks.includes(block))),
      label: t("axis.only", { name }),
    })),
    ...all.map((block) => ({ value: off([block]), label: t("axis.without", { name: block }) })),
    ...all.map((block) => ({
      value: off(all.filter((other) => other !== block)),
      label: t("axis.only", { name: block }),
    })),
    { value: off(all), label: t("axis.no_blocks") },
  ];
  return choices.filter(({ value }, at) => choices.findIndex((other) => other.value === value) === at);
}

/**
 * The axis that shows what each block of the first LoRA does: with all blocks, without each, with each alone and with
 * none, as far as there is room; null without a LoRA whose blocks are known.
 * @param {State} state
 * @returns {Axis | null}
 */
export function blockStudy(state) {
  const at = state.form.loras.findIndex(({ id, on }) => on && entryById(state, id)?.report);
  const report = entryById(state, state.form.loras[at]?.id ?? "")?.report;
  const blocks = report ? sliders(report).flatMap(({ blocks }) => blocks.map(({ block }) => block)) : [];
  if (blocks.length < 2) return null;
  const off = (/** @type {string[]} */ list) => strengthsText(Object.fromEntries(list.map((block) => [block, 0])));
  const without = ["", ...blocks.map((block) => off([block]))];
  const only = [...blocks.map((block) => off(blocks.filter((other) => other !== block))), off(blocks)];
  const rows = ticksOf(state, axisOf(state, "y")).length;
  const chosen = (without.length + only.length) * rows <= MOST_CELLS ? [...without, ...only] : without;
  return { kind: `blocks:${at}`, text: "", chosen };
}

/** Which LoRA of the stack an axis is about. @param {AxisKind} kind */
function numberOf(kind) {
  return Number(kind.split(":")[1]);
}

/**
 * An axis of another kind starts with values that show something.
 * @param {State} state
 * @param {AxisKind} kind
 * @returns {Axis}
 */
export function freshAxis(state, kind) {
  const choices = axisChoices(state, kind)?.map(({ value }) => String(value)) ?? [];
  const searched = kind === "search" ? (tagsOf(state.form.prompt)[0] ?? "") : "";
  return {
    kind,
    text: kind.startsWith("strength:") ? STRENGTHS.usual : String(optionOf(kind)?.axis ?? searched),
    chosen: choices.slice(0, kind === "lora" ? 8 : kind.startsWith("blocks:") ? 6 : 4),
  };
}

/** @param {State} state @param {Axis} axis @returns {Tick[]} one without a value for an axis of nothing */
export function ticksOf(state, { kind, text, chosen }) {
  if (kind === "none") return [{ value: "", label: "" }];
  const choices = axisChoices(state, kind);
  if (choices) return choices.filter(({ value }) => chosen.includes(String(value)));
  if (kind === "search") return [...new Set(tagsOf(text))].map((value) => ({ value, label: value }));
  const option = optionOf(kind);
  const bounded = (/** @type {string} */ part) =>
    option
      ? boundedValue(option, kind === "seed" ? part : Number(part), 1)
      : clamp(Number(part), STRENGTHS.min, STRENGTHS.max);
  const typed = text.replaceAll("−", "-").split(/[,;]/).flatMap(numbersIn);
  const numbers = typed.filter((part) => !Number.isNaN(Number(part))).map(bounded);
  return [...new Set(numbers)].map((value) => ({ value, label: String(value).replace("-", "−") }));
}

/** A range as in A1111's plot, with its step or its count: `1-5`, `1-10 (+3)`, `0-1 [5]`. */
const RANGE = /^\s*(-?\d*\.?\d+)\s*-\s*(-?\d*\.?\d+)\s*(?:\(\s*[+-]?(\d*\.?\d+)\s*\)|\[\s*(\d+)\s*\])?\s*$/;

/** The numbers of a range, or those with spaces between them. @param {string} part @returns {string[]} */
function numbersIn(part) {
  const [found, from, to, step = "1", count] = RANGE.exec(part) ?? [];
  if (!found) return part.split(/\s+/).filter(Boolean);
  const width = Number(to) - Number(from);
  const steps = count ? Number(count) - 1 : Math.floor(Math.abs(width) / (Number(step) || 1) + 1e-9);
  const by = count ? width / Math.max(1, steps) : Math.sign(width) * Number(step);
  // One more than fits, so that the page says that it is too many.
  const length = Math.min(MOST_CELLS, steps) + 1;
  return Array.from({ length }, (_, at) => String(Number((Number(from) + at * by).toFixed(6))));
}

/**
 * What an axis searches for and prompts do not have, so that all its images would be the same; "" for nothing.
 * @param {State} state @param {Axis} axis
 */
export function notFound({ form }, { kind, text }) {
  const [searched = ""] = tagsOf(text);
  return kind === "search" && !`${form.prompt}\n${form.negative}`.includes(searched) ? searched : "";
}

/**
 * The form with one tick in its place.
 * @param {Form} form @param {AxisKind} kind @param {Tick} tick @param {Tick} first of the axis: the text that is
 * replaced in prompts
 * @returns {Form}
 */
function withTick(form, kind, { value }, first) {
  if (kind === "none") return form;
  if (kind === "search") {
    const replaced = (/** @type {string} */ text) => text.replaceAll(String(first.value), () => String(value));
    return { ...form, prompt: replaced(form.prompt), negative: replaced(form.negative) };
  }
  const at = kind === "lora" ? 0 : numberOf(kind);
  if (Number.isNaN(at)) return { ...form, [kind]: value };
  const change =
    kind === "lora"
      ? { id: String(value), on: true }
      : kind.startsWith("blocks:")
        ? { blocks: String(value) }
        : { strength: Number(value), textEncoder: null };
  return { ...form, loras: form.loras.map((row, index) => (index === at ? { ...row, ...change } : row)) };
}

/**
 * The empty grid, and the form of each of its cells, row by row.
 * @param {State} state
 * @returns {{ grid: import("./types.d.ts").Grid, forms: Form[] }}
 */
export function plannedGrid(state) {
  const [x, y] = [axisOf(state, "x"), axisOf(state, "y")];
  const names = new Map(axisKinds(state));
  const side = (/** @type {Axis} */ axis) => ({
    name: axis.kind === "none" ? "" : (names.get(axis.kind) ?? ""),
    kind: axis.kind,
    ticks: ticksOf(state, axis),
  });
  const [across, down] = [side(x), side(y)];
  const forms = down.ticks.flatMap((row) =>
    across.ticks.map((column) =>
      withTick(withTick(state.form, y.kind, row, down.ticks[0]), x.kind, column, across.ticks[0]),
    ),
  );
  const title = [state.form.prompt, ...[across.name, down.name].filter(Boolean)].join(", ");
  return { grid: { title, x: across, y: down, cells: forms.map(() => null) }, forms };
}
