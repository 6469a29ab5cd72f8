/** Two axes and the form -> the grid to be drawn: its ticks, and each cell's form. Pure. */

import { sliders, strengthsText } from "./inspect/blocks.js";
import { seedOf } from "./form.js";
import { clamp, entryById, loraOptions } from "./select.js";
import { t, word } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Axis} Axis */
/** @typedef {import("./types.d.ts").AxisKind} AxisKind */
/** @typedef {import("./types.d.ts").Tick} Tick */
/** @typedef {import("./types.d.ts").Form} Form */

/** The most images of one grid. */
export const MOST_CELLS = 64;

/** Bounds and usual values of the axes that take numbers. */
const NUMBERS = {
  strength: { min: -4, max: 4, whole: false, usual: "-1, -0.5, 0, 0.5, 1, 1.5" },
  seed: { min: 0, max: Infinity, whole: true, usual: "0, 1, 2, 3" },
  steps: { min: 1, max: 100, whole: true, usual: "4, 8, 16" },
  guidance: { min: 0, max: 30, whole: false, usual: "1, 3, 5, 8" },
};

/** @param {AxisKind} kind */
function numbersOf(kind) {
  return NUMBERS[/** @type {keyof typeof NUMBERS} */ (kind.split(":")[0])];
}

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
    ["seed", t("form.seed")],
    ["steps", t("form.steps")],
    ["guidance", t("form.guidance")],
    ["sampler", t("form.sampler")],
  ];
}

/**
 * Names or ids that an axis of choices offers; null for an axis of numbers.
 * @param {State} state
 * @param {AxisKind} kind
 * @returns {Tick[] | null}
 */
export function axisChoices(state, kind) {
  if (kind === "sampler")
    return (state.base.info?.samplers ?? [state.form.sampler]).map((value) => ({
      value,
      label: word("sampler", value),
    }));
  if (kind.startsWith("blocks:"))
    return blockChoices(entryById(state, state.form.loras[numberOf(kind)]?.id ?? "")?.report);
  if (kind !== "lora") return null;
  const { demo, own } = loraOptions(state);
  return [{ value: "", label: t("stack.none") }, ...[...own, ...demo].map(({ id, label }) => ({ value: id, label }))];
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
  const rows = ticksOf(state, state.axes.y).length;
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
  return {
    kind,
    text: numbersOf(kind)?.usual ?? "",
    chosen: choices.slice(0, kind === "lora" ? 8 : kind.startsWith("blocks:") ? 6 : 4),
  };
}

/** @param {State} state @param {Axis} axis @returns {Tick[]} one without a value for an axis of nothing */
export function ticksOf(state, { kind, text, chosen }) {
  if (kind === "none") return [{ value: "", label: "" }];
  const choices = axisChoices(state, kind);
  if (choices) return choices.filter(({ value }) => chosen.includes(String(value)));
  const { min, max, whole } = numbersOf(kind);
  const typed = text
    .split(/[,;\s]+/)
    .filter(Boolean)
    .map((part) => part.replace("−", "-"));
  const bounded = (/** @type {string} */ part) => clamp(whole ? Math.round(Number(part)) : Number(part), min, max);
  const numbers = typed.filter((part) => !Number.isNaN(Number(part))).map(kind === "seed" ? seedOf : bounded);
  return [...new Set(numbers)].map((value) => ({ value, label: String(value).replace("-", "−") }));
}

/** The form with one tick in its place. @param {Form} form @param {AxisKind} kind @param {Tick} tick @returns {Form} */
function withTick(form, kind, { value }) {
  if (kind === "none") return form;
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
  const { x, y } = state.axes;
  const names = new Map(axisKinds(state));
  const side = (/** @type {Axis} */ axis) => ({
    name: axis.kind === "none" ? "" : (names.get(axis.kind) ?? ""),
    kind: axis.kind,
    ticks: ticksOf(state, axis),
  });
  const [across, down] = [side(x), side(y)];
  const forms = down.ticks.flatMap((row) =>
    across.ticks.map((column) => withTick(withTick(state.form, y.kind, row), x.kind, column)),
  );
  const title = [state.form.prompt, ...[across.name, down.name].filter(Boolean)].join(", ");
  return { grid: { title, x: across, y: down, cells: forms.map(() => null) }, forms };
}
