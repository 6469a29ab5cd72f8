/**
 * The engine's fixes -> those that mend a problem or serve a program, each as the panel "Change this file" holds it.
 * Pure.
 */

import { changeOf } from "../edit/state.js";
import { say } from "../words.js";

/** @typedef {import("../engine/types.d.ts").Fix} EngineFix */
/**
 * @typedef {{ label: string, why: string, effect?: import("../engine/types.d.ts").LoaderEffect[], kind:
 * import("../types.d.ts").ChangeKind, form: Partial<import("../types.d.ts").ChangeForm> }} Fix
 */

/** What mends a problem, the most useful first. @param {EngineFix[]} fixes @param {string} problem its class */
export function fixesOf(fixes, problem) {
  return fixes.filter(({ problems }) => problems.includes(problem)).flatMap(shown);
}

/**
 * What makes a program apply all of the file, or more of it.
 * @param {EngineFix[]} fixes
 * @param {import("../engine/types.d.ts").LoaderVerdict} verdict
 */
export function fixFor(fixes, { loader, status }) {
  if (status === "applied" || status === "unknown") return null;
  const whole = fixes.find(({ loaders }) => loaders.includes(loader));
  const helps = fixes.find(({ effect }) => effect.some((row) => row.loader === loader && row.after > row.before));
  const fix = whole ?? helps;
  return fix ? (shown(fix)[0] ?? null) : null;
}

/** What is of use although nothing is wrong: a smaller file, a usual strength. @param {EngineFix[]} fixes */
export function advice(fixes) {
  const gains = (/** @type {EngineFix} */ { effect }) => effect.some(({ before, after }) => after > before);
  return fixes
    .filter((fix) => !fix.problems.length && !fix.loaders.length && !gains(fix) && fix.edit.kind !== "export")
    .flatMap(shown);
}

/** @param {EngineFix} fix @returns {Fix[]} */
function shown({ title, why, effect, edit }) {
  const change = changeOf(edit);
  return change
    ? [{ label: say(title), why: say(why), effect: effect.filter(({ before, after }) => before !== after), ...change }]
    : [];
}
