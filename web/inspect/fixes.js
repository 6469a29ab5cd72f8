/** The engine's fixes -> those that mend a problem or serve a program, each as the panel "Change this file" holds it. Pure. */

import { changeOf } from "../edit/state.js";

/** @typedef {import("../engine/types.d.ts").Fix} EngineFix */
/** @typedef {{ label: string, why: string, kind: import("../types.d.ts").ChangeKind, form: Partial<import("../types.d.ts").ChangeForm> }} Fix */

/** What mends a problem, the most useful first. @param {EngineFix[]} fixes @param {string} problem its class */
export function fixesOf(fixes, problem) {
  return fixes.filter(({ problems }) => problems.includes(problem)).flatMap(shown);
}

/** What makes a program apply all of the file. @param {EngineFix[]} fixes @param {import("../engine/types.d.ts").LoaderVerdict} verdict */
export function fixFor(fixes, { loader, status }) {
  if (status === "applied" || status === "unknown") return null;
  return fixes.filter(({ loaders }) => loaders.includes(loader)).flatMap(shown)[0] ?? null;
}

/** What is of use although nothing is wrong: a smaller file, a usual strength. @param {EngineFix[]} fixes */
export function advice(fixes) {
  return fixes.filter(({ problems, loaders, edit }) => !problems.length && !loaders.length && edit.kind !== "export").flatMap(shown);
}

/** @param {EngineFix} fix @returns {Fix[]} */
function shown({ title, why, edit }) {
  const change = changeOf(edit);
  return change ? [{ label: title, why, ...change }] : [];
}
