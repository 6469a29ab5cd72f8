/** State and action -> the next state. Pure: no clock, no chance, no engine. */

import { FIRST_BENCH, reduceBench } from "./bench/state.js";
import { strengthsText } from "./inspect/blocks.js";
import { FIRST_LOOK, lookReduce } from "./inspect/state.js";
import { NO_TEMPLATES } from "./templates/state.js";
import { EMPTY_ROW, FIRST_FORM, checkedForm, checkedRow, demoForm, demoNumbers, followed, usualNumbers, withLora, withRow, withoutRow } from "./form.js";
import { FIRST_IMAGES, reduceImages } from "./gallery/state.js";
import { reduceGuide } from "./guide/state.js";
import { entryById, fitsModel, loraOptions, sizeStep, withTag } from "./select.js";
import { reduceToasts } from "./core/toasts.js";
import { say, t } from "./words.js";

/** @typedef {import("./types.d.ts").State} State */
/** @typedef {import("./types.d.ts").Action} Action */
/** @typedef {import("./types.d.ts").Table} Table */

/** @type {Table} */
const freshTable = { open: false, sort: "order", descending: false, filter: "", all: false };

/** @type {State} */
export const initialState = {
  language: "en",
  app: { offline: false, update: false, stale: false, installable: false },
  jobs: [],
  look: FIRST_LOOK,
  files: [],
  selected: "",
  gpu: { status: "checking" },
  demo: { catalogue: null, status: "none", received: 0, total: 0 },
  base: { chosen: "demo", own: [], vae: null, info: null, usual: {}, last: "demo", far: { status: "idle", error: null } },
  start: null,
  mask: null,
  remark: null,
  tokens: null,
  completion: null,
  table: freshTable,
  pointed: "",
  chosen: "",
  rawMetadata: false,
  form: FIRST_FORM,
  templates: NO_TEMPLATES,
  run: { job: 0, status: "idle", image: 1, images: 1, live: false, grid: false, progress: null, error: null },
  result: null,
  compare: "side",
  ...FIRST_IMAGES,
  guide: null,
  bench: FIRST_BENCH,
  shelf: { ready: false, items: [], demo: { kept: 0, all: 0, bytes: 0 }, works: {}, usage: 0, quota: 0, persisted: false },
  link: null,
  asked: null,
  session: { rows: [], waiting: [], kept: false },
  smooth: true,
  notices: [],
  toasts: [],
  announcement: "",
};

/** What a person does to the form: a link that still waits for files is not applied over it. */
const OWN_EDITS = new Set(["form/changed", "row/changed", "row/added", "row/removed", "blocks/edited", "tag/toggled"]);

/** @param {State} state @param {Action} action @returns {State} */
export function reduce(state, action) {
  if ("job" in action && action.type !== "run/started" && action.job !== state.run.job) return state; // another run has taken its place
  const look = lookReduce(state, action);
  const link = state.link && OWN_EDITS.has(action.type) ? { ...state.link, edited: true } : state.link;
  const page = reducePage(look === state.look && link === state.link ? state : { ...state, look, link }, action);
  return reduceToasts(reduceBench(reduceGuide(reduceImages(page, action), action), action), action);
}

/** @param {State} state @param {Action} action @returns {State} */
function reducePage(state, action) {
  switch (action.type) {
    case "language/changed":
      return { ...state, language: action.language };
    case "app/changed":
      return { ...state, app: { ...state.app, ...action.change } };
    case "jobs/changed":
      return { ...state, jobs: action.jobs };
    case "gpu/known":
      return { ...state, gpu: action.gpu };

    case "demo/listed":
      return {
        ...state,
        demo: { ...state.demo, catalogue: action.catalogue },
        base: { ...state.base, usual: demoNumbers(action.catalogue) },
        form: demoForm(state.form, action.catalogue),
      };
    case "demo/progress": {
      const { received, total } = action;
      return { ...state, demo: { ...state.demo, status: "loading", received, total } };
    }
    case "demo/ready":
      return { ...state, demo: { ...state.demo, status: "ready" } };
    case "demo/failed":
      return { ...state, demo: { ...state.demo, status: "none" } };

    case "model/added":
      return { ...state, base: { ...state.base, own: [...state.base.own, action.model] } };
    case "model/chosen":
      return withBase(state, action.id);
    case "model/ready":
      return withModel(state, action.info);
    case "model/failed":
      return withoutModel(state, action.error);
    case "model/asking":
      return { ...state, base: { ...state.base, far: { status: "asking", error: null } } };
    case "model/answered":
      return { ...state, base: { ...state.base, far: { status: "idle", error: action.error } } };
    case "vae/taken":
      return { ...state, base: { ...state.base, vae: action.vae, info: null } };

    case "start/taken":
      return { ...state, start: action.start, mask: null, remark: null };
    case "mask/taken":
      return { ...state, mask: action.mask };
    case "restored": {
      const { change, model, remark } = action;
      const next = model === state.base.chosen ? state : withBase(state, model);
      const form = checkedForm({ ...next.form, ...change }, 1);
      // What was restored stays as it is, whatever model is opened next.
      const announcement = [remark.title, ...remark.details].join(". ");
      return { ...next, form, remark, link: null, base: { ...next.base, usual: {} }, announcement };
    }
    case "remark/made":
      return { ...state, remark: action.remark, announcement: action.remark?.title ?? state.announcement };
    case "session/restored":
      return { ...state, form: action.form ?? state.form, session: { ...state.session, rows: action.rows, kept: true } };
    case "session/waiting":
      return { ...state, session: { ...state.session, waiting: action.names } };
    case "session/kept":
      return { ...state, session: { ...state.session, kept: action.kept } };
    case "tokens/counted":
      return { ...state, tokens: action.tokens };

    case "files/added": {
      const files = [...state.files.filter(({ id }) => id !== action.entry.id), action.entry];
      return action.select ? select({ ...state, files }, action.entry.id) : { ...state, files };
    }
    case "files/header":
      return withEntry(state, action.id, { report: action.report });
    case "files/progress":
      return withRows(state, action);
    case "files/waiting":
      return withEntry(state, action.id, { status: "header" });
    case "files/continue":
      return withEntry(state, action.id, { status: "reading", error: null, done: 0, secondsLeft: null });
    case "files/read": {
      const { id, report, fixes } = action;
      const next = withEntry(state, id, { status: "read", report, fixes, error: null });
      const runs = id === state.selected && canRun(next, id);
      return {
        ...withSessionRow({ ...next, form: runs ? withLora(state.form, id) : state.form }, id, report.file),
        announcement: `${report.file}: ${say(report.verdict)}`,
      };
    }
    case "files/failed": {
      const { id, error } = action;
      // After a crash the header's report stays, and the numbers can be asked for again.
      const header = error.kind === "crashed" && entryById(state, id)?.report;
      const next = withEntry(state, id, header ? { status: "header", error } : { status: "failed", report: null, error });
      return { ...next, announcement: error.message };
    }
    case "files/select":
      return select(state, action.id);
    case "files/close":
      return withoutEntry(state, action.id);
    case "weigh/done": {
      const entry = entryById(state, action.id);
      if (!entry?.report) return state;
      const { measures, usual_strength } = action.weighing;
      const fixes = [...entry.fixes.filter(({ id }) => id !== "usual_strength"), ...(usual_strength ? [usual_strength] : [])];
      return withEntry(state, action.id, { report: { ...entry.report, ...measures }, fixes, beside: action.model });
    }

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
    case "blocks/edited": {
      const blocks = strengthsText(action.strengths);
      const loras = state.form.loras.map((row) => (row.id === state.selected ? { ...row, blocks } : row));
      return { ...state, form: { ...state.form, loras } };
    }
    case "tag/toggled":
      return { ...state, form: { ...state.form, prompt: withTag(state.form.prompt, action.tag) } };
    case "metadata/raw":
      return { ...state, rawMetadata: action.raw };

    case "form/changed":
      return { ...state, form: checkedForm({ ...state.form, ...action.change }, sizeStep(state)) };
    case "templates/changed":
      return { ...state, templates: { ...state.templates, ...action.change } };
    case "prompt/completion":
      return { ...state, completion: action.completion };
    case "seed/reuse":
      return state.result ? { ...state, form: { ...state.form, seed: state.result.plain.seed } } : state;
    case "row/added":
      return { ...state, form: { ...state.form, loras: [...state.form.loras, { ...EMPTY_ROW, id: unused(state) }] } };
    case "row/changed":
      return { ...state, form: withRow(state.form, action.index, action.change) };
    case "row/removed":
      return { ...state, form: withoutRow(state.form, action.index) };

    case "run/started": {
      const { job, images, live = false, grid = false } = action;
      const run = { ...state.run, job, image: 1, images, live, grid, progress: null, error: null };
      const remark = state.remark?.severity === "good" && !live ? null : state.remark;
      return { ...state, remark, run: { ...run, status: "running" }, announcement: live ? state.announcement : grid ? t("said.making_many", { images }) : t("said.making") };
    }
    case "run/image":
      return { ...state, run: { ...state.run, image: action.image, progress: null } };
    case "run/progress":
      return { ...state, run: { ...state.run, progress: action.progress } };
    case "run/result":
      return { ...state, result: action.result };
    case "run/done":
      return ended(state, t("said.ready"));
    case "run/cancel":
      if (state.run.status !== "running") return state;
      return { ...state, run: { ...state.run, status: "cancelling" }, announcement: t("said.cancelling") };
    case "run/cancelled":
      return ended(state, t("said.cancelled"));
    case "run/failed": {
      const run = { ...state.run, error: action.error };
      return { ...state, run: { ...run, status: "idle" }, announcement: action.error.message };
    }

    case "result/compared":
      return { ...state, compare: action.compare };
    case "link/pending":
      return { ...state, link: action.link };
    case "link/forget":
      return { ...state, link: null, asked: null };
    case "shelf/listed": {
      const { items, demo, usage, quota, persisted } = action;
      return { ...state, shelf: { ...state.shelf, ready: true, items, demo, usage, quota, persisted } };
    }
    case "shelf/working": {
      const { [action.key]: _, ...others } = state.shelf.works;
      return { ...state, shelf: { ...state.shelf, works: action.work ? { ...others, [action.key]: action.work } : others } };
    }
    case "link/asked":
      return { ...state, asked: action.asked };
    case "result/smoothed":
      return { ...state, smooth: action.smooth };
    case "page/failed":
      return reducePage(state, { type: "notice/raised", title: t("error.page"), message: action.message });
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

/** Images of a moved strength come too often to be read out. @param {State} state @param {string} announcement @returns {State} */
function ended(state, announcement) {
  const { run } = state;
  return { ...state, run: { ...run, status: "idle" }, announcement: run.live ? state.announcement : announcement };
}

/** Another base model: what was made for the last one gives way. @param {State} state @param {string} chosen @returns {State} */
function withBase(state, chosen) {
  if (chosen === state.base.chosen) return state;
  const next = { ...state, base: { ...state.base, chosen, info: null }, tokens: null, remark: null };
  const kept = state.form.loras.filter(({ id }) => canRun(next, id));
  const { demo } = loraOptions(next);
  const first = demo[0]?.id ?? (canRun(next, state.selected) ? state.selected : "");
  const form = { ...state.form, loras: kept.length ? kept : [{ ...EMPTY_ROW, id: first }] };
  return chosen === "demo" && state.demo.catalogue ? withUsual({ ...next, form }, demoNumbers(state.demo.catalogue)) : { ...next, form };
}

/** An opened model: untouched numbers follow it, and a sampler that it lacks gives way. @param {State} state @param {import("./engine/types.d.ts").ModelInfo} info @returns {State} */
function withModel(state, info) {
  const { base, demo } = state;
  const usual = base.chosen === "demo" && demo.catalogue ? demoNumbers(demo.catalogue) : usualNumbers(info);
  const next = withUsual({ ...state, base: { ...base, info, last: base.chosen } }, usual);
  const form = checkedForm(next.form, info.multiple);
  const sampler = info.samplers.includes(form.sampler) ? form.sampler : (usual.sampler ?? info.samplers[0]);
  return { ...next, form: { ...form, sampler } };
}

/** @param {State} state @param {Partial<import("./types.d.ts").Form>} usual @returns {State} */
function withUsual(state, usual) {
  return { ...state, form: followed(state.form, state.base.usual, usual), base: { ...state.base, usual } };
}

/** What does not open is let go, with a word: the separate VAE first, then the model. @param {State} state @param {import("./engine/types.d.ts").EngineError} error @returns {State} */
function withoutModel(state, { kind, message }) {
  const { own, chosen, vae, last } = state.base;
  const model = own.find(({ id }) => id === chosen);
  const withVae = model?.kind === "file" && vae;
  const left = own.filter(({ id }) => id !== chosen);
  const next = withVae
    ? { ...state, base: { ...state.base, vae: null } }
    : withBase({ ...state, base: { ...state.base, own: left } }, left.some(({ id }) => id === last) ? last : "demo");
  const name = model?.name ?? t("said.the_model");
  const title = withVae ? t("said.not_with_vae", { name, vae: vae.name }) : t("said.not_drawn_with", { name });
  return { ...next, remark: { kind, severity: "refuse", title, message, details: [], image: null }, announcement: message };
}

/** A file of the user's that no row has yet, "" for none. @param {State} state */
function unused(state) {
  return loraOptions(state).own.find(({ id }) => !state.form.loras.some((row) => row.id === id))?.id ?? "";
}

/** Whether an id is that of a LoRA for the chosen model: one of the demo's, or an opened file that fits. @param {State} state @param {string} id */
function canRun(state, id) {
  const { demo, own } = loraOptions(state);
  const report = entryById(state, id)?.report;
  const fits = own.some((option) => option.id === id) && !!report && fitsModel(state, report);
  return fits || demo.some((option) => option.id === id);
}

/** What belongs to one report starts afresh with another. @param {State} state @param {string} id @returns {State} */
function select(state, id) {
  const form = canRun(state, id) ? withLora(state.form, id) : state.form;
  return { ...state, selected: id, form, table: { ...freshTable, open: state.table.open }, pointed: "", chosen: "" };
}

/** A file of the last visit's stack takes its row again. @param {State} state @param {string} id @param {string} file its name @returns {State} */
function withSessionRow(state, id, file) {
  const row = state.session.rows.find(({ name }) => name === file);
  if (!row) return state;
  const { name, ...rest } = row;
  const session = { ...state.session, rows: state.session.rows.filter((each) => each !== row) };
  const loras = [...state.form.loras.filter((each) => each.id && each.id !== id), checkedRow({ ...EMPTY_ROW, ...rest, id })];
  return { ...state, session, form: { ...state.form, loras } };
}

/** A closed file; the one opened before it comes on show. @param {State} state @param {string} id @returns {State} */
function withoutEntry(state, id) {
  const at = state.files.findIndex((entry) => entry.id === id);
  if (at < 0) return state;
  const files = state.files.toSpliced(at, 1);
  const kept = state.form.loras.filter((row) => row.id !== id || id.startsWith("demo:"));
  const next = { ...state, files, form: { ...state.form, loras: kept.length ? kept : [EMPTY_ROW] } };
  return id === state.selected ? select(next, (files[at - 1] ?? files[at])?.id ?? "") : next;
}

/**
 * @param {State} state @param {string} id @param {Partial<import("./types.d.ts").Entry>} change
 * @returns {State}
 */
function withEntry(state, id, change) {
  return { ...state, files: state.files.map((entry) => (entry.id === id ? { ...entry, ...change } : entry)) };
}

/** Layers that were read take the place of what the header says of them. @param {State} state @param {Extract<Action, { type: "files/progress" }>} action @returns {State} */
function withRows(state, { id, done, secondsLeft, rows }) {
  const report = state.files.find((entry) => entry.id === id)?.report;
  if (!report || !rows.length) return withEntry(state, id, { done, secondsLeft });
  const known = new Map(rows.map((row) => [row.path, row]));
  const modules = report.modules.map((row) => known.get(row.path) ?? row);
  return withEntry(state, id, { done, secondsLeft, report: { ...report, modules } });
}

/** The same header again turns the order round; numbers start with the largest. @param {Table} table @param {import("./types.d.ts").SortKey} key @returns {Table} */
function sorted(table, key) {
  if (table.sort === key) return { ...table, descending: !table.descending };
  const descending = ["rank", "alpha", "scale", "norm", "relative"].includes(key);
  return { ...table, sort: key, descending };
}
