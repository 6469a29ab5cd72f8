/** The base model: chosen, opened, let go; the form follows it. Pure. */

import { EMPTY_ROW, checkedForm, demoNumbers, followed, usualNumbers } from "../form.js";
import { canRun, loraOptions } from "../select.js";
import { say, t } from "../words.js";

/** @typedef {import("../types.d.ts").State} State */
/** @typedef {import("../types.d.ts").Action} Action */

/** @type {State["base"]} */
export const FIRST_BASE = {
  chosen: "demo",
  own: [],
  parts: [],
  lacks: false,
  info: null,
  usual: { prediction: "", zeroSnr: "" },
  last: "demo",
  far: { status: "idle", error: null },
};

/** @param {State} state @param {Action} action @returns {State} */
export function reduceBase(state, action) {
  switch (action.type) {
    case "model/added":
      return { ...state, base: { ...state.base, own: [...state.base.own, action.model] } };
    case "model/chosen":
      return withBase(state, action.id);
    case "model/ready":
      return withModel(state, action.info, action.said);
    case "form/changed":
      return withSaid(state, action.change);
    case "model/failed":
      return withoutModel(state, action.error);
    case "model/asking":
      return { ...state, base: { ...state.base, far: { status: "asking", error: null } } };
    case "model/answered":
      return { ...state, base: { ...state.base, far: { status: "idle", error: action.error } } };
    case "part/added":
      return withParts(state, [...state.base.parts, action.part]);
    case "part/removed":
      return withParts(
        state,
        state.base.parts.filter(({ id }) => id !== action.id),
      );
    default:
      return state;
  }
}

/**
 * Another base model: what was made for the last one gives way.
 * @param {State} state
 * @param {string} chosen
 * @returns {State}
 */
export function withBase(state, chosen) {
  if (chosen === state.base.chosen) return state;
  const next = {
    ...state,
    base: { ...state.base, chosen, parts: [], lacks: false, info: null },
    tokens: null,
    remark: null,
  };
  const kept = state.form.loras.filter(({ id }) => canRun(next, id));
  const { demo } = loraOptions(next);
  const first = demo[0]?.id ?? (canRun(next, state.selected) ? state.selected : "");
  const form = { ...state.form, loras: kept.length ? kept : [{ ...EMPTY_ROW, id: first }] };
  return chosen === "demo" && state.demo.catalogue
    ? withUsual({ ...next, form }, demoNumbers(state.demo.catalogue))
    : { ...next, form };
}

/** @param {State} state @param {import("../types.d.ts").Part[]} parts @returns {State} */
function withParts(state, parts) {
  return { ...state, base: { ...state.base, parts, lacks: false, info: null }, remark: null };
}

/**
 * What the user says of the model gives way to what was said of the next one.
 * @param {State} state @param {Partial<import("../types.d.ts").Form>} change @returns {State}
 */
function withSaid(state, { prediction, zeroSnr }) {
  if (!state.base.info || (prediction === undefined && zeroSnr === undefined)) return state;
  const said = { ...(prediction !== undefined && { prediction }), ...(zeroSnr !== undefined && { zeroSnr }) };
  return { ...state, base: { ...state.base, usual: { ...state.base.usual, ...said } } };
}

/**
 * An opened model: untouched numbers follow it, as does what was said of its files, and a sampler that it lacks gives
 * way.
 * @param {State} state
 * @param {import("../engine/types.d.ts").ModelInfo} info
 * @param {Pick<import("../types.d.ts").Form, "prediction" | "zeroSnr">} said
 * @returns {State}
 */
function withModel(state, info, said) {
  const { base, demo } = state;
  const numbers = base.chosen === "demo" && demo.catalogue ? demoNumbers(demo.catalogue) : usualNumbers(info);
  const usual = { ...numbers, ...said };
  const next = withUsual({ ...state, base: { ...base, info, last: base.chosen } }, usual);
  const form = checkedForm(next.form, info.multiple);
  const sampler = info.samplers.includes(form.sampler) ? form.sampler : (usual.sampler ?? info.samplers[0]);
  return { ...next, form: { ...form, sampler } };
}

/** @param {State} state @param {Partial<import("../types.d.ts").Form>} usual @returns {State} */
function withUsual(state, usual) {
  const form = followed(state.form, state.base.usual, usual);
  return { ...state, form, base: { ...state.base, usual: { ...state.base.usual, ...usual } } };
}

/**
 * What does not open is let go, with a word: the last of its other files first, then the model. One that only lacks
 * files waits for them.
 * @param {State} state
 * @param {import("../engine/types.d.ts").EngineError} error
 * @returns {State}
 */
function withoutModel(state, error) {
  const { kind } = error;
  const message = say(error.sentence ?? error.message);
  const { own, chosen, parts, last } = state.base;
  const model = own.find(({ id }) => id === chosen);
  const name = model?.name ?? t("said.the_model");
  if (kind === "parts") {
    const remark = { kind, severity: /** @type {const} */ ("warn"), title: t("said.lacks", { name }), message };
    const base = { ...state.base, lacks: true };
    return { ...state, base, remark: { ...remark, details: [], image: null }, announcement: message };
  }
  const part = model?.kind === "file" ? parts.at(-1) : undefined;
  const left = own.filter(({ id }) => id !== chosen);
  const next = part
    ? { ...state, base: { ...state.base, parts: parts.slice(0, -1) } }
    : withBase({ ...state, base: { ...state.base, own: left } }, left.some(({ id }) => id === last) ? last : "demo");
  const title = part ? t("said.not_with_part", { name, part: part.name }) : t("said.not_drawn_with", { name });
  return {
    ...next,
    remark: { kind, severity: "refuse", title, message, details: [], image: null },
    announcement: message,
  };
}
