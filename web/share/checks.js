/** Checks of values from outside: each returns the value as it is used, undefined for one that is not usable. Pure. */

/** @typedef {(value: unknown) => unknown} Check */

/** Characters of a prompt, and entries of a list, that are read at most. */
const MOST_TEXT = 20_000;
const MOST_ENTRIES = 64;

/** @type {(most?: number) => Check} */
export const text =
  (most = MOST_TEXT) =>
  (value) =>
    typeof value === "string" && value.length <= most ? value : undefined;

/** @type {(least: number, most: number) => Check} */
export const number = (least, most) => (value) =>
  typeof value === "number" && value >= least && value <= most ? value : undefined;

/** @type {(least: number, most: number) => Check} */
export const whole = (least, most) => (value) => (Number.isInteger(value) ? number(least, most)(value) : undefined);

/** @type {Check} */
export const flag = (value) => (typeof value === "boolean" ? value : undefined);

/** @type {(choices: string[]) => Check} */
export const choice = (choices) => (value) => (choices.includes(/** @type {string} */ (value)) ? value : undefined);

/** @type {(check: Check) => Check} */
export const orNull = (check) => (value) => (value === null ? null : check(value));

/** @type {(check: Check) => Check} */
export const list = (check) => (value) => {
  const checked = Array.isArray(value) && value.length <= MOST_ENTRIES ? value.map(check) : [undefined];
  return checked.includes(undefined) ? undefined : checked;
};

/** @type {(check: Check) => Check} */
export const pair = (check) => (value) => (Array.isArray(value) && value.length === 2 ? list(check)(value) : undefined);

/**
 * Fields that are not usable are left out; those in `needed` are not.
 * @type {(fields: Record<string, Check>, needed?: string[]) => Check}
 */
export const record =
  (fields, needed = []) =>
  (value) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    const found = Object.entries(fields).flatMap(([name, check]) => {
      const checked = Object.hasOwn(value, name)
        ? check(/** @type {Record<string, unknown>} */ (value)[name])
        : undefined;
      return checked === undefined ? [] : [[name, checked]];
    });
    return needed.every((name) => found.some(([each]) => each === name)) ? Object.fromEntries(found) : undefined;
  };

/** A name of the engine's: the model that is opened says whether it has it. @type {Check} */
export const engineName = (value) => (typeof value === "string" && /^[a-z0-9_]{1,40}$/.test(value) ? value : undefined);
