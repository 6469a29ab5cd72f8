/** State and action -> the next state. Pure: no clock, no chance, no engine. */

import { clamp, entryById, fitsModel, usable } from "./select.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Action} Action */
/** @typedef {import("./types.d.ts").Form} Form */
/** @typedef {import("./types.d.ts").Table} Table */

/** @type {Table} */
const freshTable = { open: false, sort: "order", descending: false, filter: "", all: false };

/** @type {State} */
export const initialState = {
  files: [],
  selected: "",
  gpu: { status: "checking" },
  demo: { catalogue: null, status: "none", received: 0, total: 0, model: null },
  table: freshTable,
  pointed: "",
  chosen: "",
  rawMetadata: false,
  form: {
    prompt: "",
    negative: "",
    seed: 1,
    steps: 20,
    guidance: 5,
    sampler: "",
    lora: "",
    strength: 1,
  },
  run: { status: "idle", picture: 1, pictures: 1, progress: null, error: null },
  result: null,
  compare: "side",
  smooth: true,
  notices: [],
  announcement: "",
};

/** @param {State} state @param {Action} action @returns {State} */
export function reduce(state, action) {
  switch (action.type) {
    case "gpu/known":
      return { ...state, gpu: action.gpu };

    case "demo/listed":
      return {
        ...state,
        demo: { ...state.demo, catalogue: action.catalogue },
        form: firstForm(state.form, action.catalogue),
      };
    case "demo/progress": {
      const { received, total } = action;
      return { ...state, demo: { ...state.demo, status: "loading", received, total } };
    }
    case "demo/ready":
      return withModel(state, action.model);
    case "demo/failed":
      return { ...state, demo: { ...state.demo, status: "none" } };

    case "files/added": {
      const files = [...state.files.filter(({ id }) => id !== action.entry.id), action.entry];
      return action.select ? select({ ...state, files }, action.entry.id) : { ...state, files };
    }
    case "files/read": {
      const { id, report } = action;
      const next = withEntry(state, id, { status: "read", report, error: null });
      const entry = entryById(next, id);
      const runs = entry && id === state.selected && usable(entry) && fitsModel(next, report);
      return {
        ...next,
        form: runs ? { ...state.form, lora: id } : state.form,
        announcement: `${report.file}: ${report.verdict}`,
      };
    }
    case "files/failed": {
      const { id, error } = action;
      const next = withEntry(state, id, { status: "failed", report: null, error });
      return { ...next, announcement: error.message };
    }
    case "files/selected":
      return select(state, action.id);

    case "table/changed":
      return { ...state, table: { ...state.table, ...action.change } };
    case "table/sorted":
      return { ...state, table: sorted(state.table, action.key) };
    case "block/pointed":
      return { ...state, pointed: action.block };
    case "block/chosen": {
      const chosen = action.block === state.chosen ? "" : action.block;
      const open = state.table.open || chosen !== "";
      return { ...state, chosen, table: { ...state.table, open, all: false } };
    }
    case "metadata/raw":
      return { ...state, rawMetadata: action.raw };

    case "form/changed":
      return { ...state, form: checkedForm({ ...state.form, ...action.change }) };

    case "run/started": {
      const run = { ...state.run, picture: 1, pictures: action.pictures, progress: null, error: null };
      return { ...state, run: { ...run, status: "running" }, announcement: "Making the picture" };
    }
    case "run/picture":
      return { ...state, run: { ...state.run, picture: action.picture, progress: null } };
    case "run/progress":
      return { ...state, run: { ...state.run, progress: action.progress } };
    case "run/result":
      return { ...state, result: action.result };
    case "run/done":
      return { ...state, run: { ...state.run, status: "idle" }, announcement: "The picture is ready" };
    case "run/cancel":
      if (state.run.status !== "running") return state;
      return { ...state, run: { ...state.run, status: "cancelling" }, announcement: "Cancelling" };
    case "run/cancelled":
      return { ...state, run: { ...state.run, status: "idle" }, announcement: "Cancelled" };
    case "run/failed": {
      const run = { ...state.run, error: action.error };
      return { ...state, run: { ...run, status: "idle" }, announcement: action.error.message };
    }

    case "result/compared":
      return { ...state, compare: action.compare };
    case "result/smoothed":
      return { ...state, smooth: action.smooth };
    case "text/copied":
      return { ...state, announcement: `${action.what} copied` };

    case "notice/raised": {
      const id = 1 + Math.max(0, ...state.notices.map((notice) => notice.id));
      const { title, message } = action;
      return { ...state, notices: [...state.notices, { id, title, message }] };
    }
    case "notice/dismissed":
      return { ...state, notices: state.notices.filter(({ id }) => id !== action.id) };

    default: // intents: effects.js acts on them
      return state;
  }
}

/** A sampler that the model's list lacks gives way to its first. @param {State} state @param {import("./engine/types.d.ts").ModelInfo} model @returns {State} */
function withModel(state, model) {
  const { demo, form } = state;
  const sampler = model.samplers.includes(form.sampler) ? form.sampler : model.samplers[0];
  return { ...state, demo: { ...demo, status: "ready", model }, form: { ...form, sampler } };
}

/** What belongs to one report starts afresh with another. @param {State} state @param {string} id @returns {State} */
function select(state, id) {
  const entry = entryById(state, id);
  const runs = entry?.report && usable(entry) && fitsModel(state, entry.report);
  const form = runs ? { ...state.form, lora: id } : state.form;
  return { ...state, selected: id, form, table: { ...freshTable, open: state.table.open }, pointed: "", chosen: "" };
}

/**
 * @param {State} state @param {string} id @param {Partial<import("./types.d.ts").Entry>} change
 * @returns {State}
 */
function withEntry(state, id, change) {
  return { ...state, files: state.files.map((entry) => (entry.id === id ? { ...entry, ...change } : entry)) };
}

/** The same header again turns the order round; numbers start with the largest. @param {Table} table @param {import("./types.d.ts").SortKey} key @returns {Table} */
function sorted(table, key) {
  if (table.sort === key) return { ...table, descending: !table.descending };
  const descending = ["rank", "alpha", "scale", "norm"].includes(key);
  return { ...table, sort: key, descending };
}

/** The demo's own settings and its first prompt and LoRA. @param {Form} form @param {import("./types.d.ts").DemoCatalogue} catalogue @returns {Form} */
function firstForm(form, { prompts, loras, defaults }) {
  const { steps, guidance, sampler, seed } = defaults;
  return {
    ...form,
    prompt: form.prompt || prompts[0],
    lora: form.lora || `demo:${loras[0].file}`,
    ...{ steps, guidance, sampler, seed },
  };
}

/** Every number within its bounds, whatever was typed. @param {Form} form @returns {Form} */
function checkedForm(form) {
  return {
    ...form,
    seed: Math.trunc(clamp(form.seed, 0, 2 ** 32 - 1)),
    steps: Math.trunc(clamp(form.steps, 1, 100)),
    guidance: clamp(form.guidance, 0, 30),
    strength: clamp(form.strength, -1, 1.5),
  };
}
