/** What the user said of a model that its files do not say: kept in the browser under its fingerprint. */

import { scoped } from "../core/scope.js";
import { keep, kept } from "../world.js";

/** @typedef {import("../types.d.ts").Form} Form */
/** @typedef {Pick<Form, "prediction" | "zeroSnr">} Said */

/** Models that are remembered, the latest. */
const MOST = 200;
const PREDICTIONS = ["", "epsilon", "v_prediction", "sample"];
const SWITCHES = ["", "on", "off"];

/** @type {Said} */
const NOTHING = { prediction: "", zeroSnr: "" };

const key = () => scoped("loupe-models");

/** @returns {[string, Said][]} */
function all() {
  try {
    return Object.entries(JSON.parse(kept(key()) ?? "{}"));
  } catch {
    return [];
  }
}

/** @param {string} fingerprint @returns {Said} */
export function saidOf(fingerprint) {
  const said = all().find(([name]) => name === fingerprint)?.[1];
  return said && PREDICTIONS.includes(said.prediction) && SWITCHES.includes(said.zeroSnr) ? said : NOTHING;
}

/** @param {string} fingerprint @param {Said} said */
export function remember(fingerprint, { prediction, zeroSnr }) {
  const others = all().filter(([name]) => name !== fingerprint);
  const said = prediction || zeroSnr ? [[fingerprint, { prediction, zeroSnr }]] : [];
  keep(key(), JSON.stringify(Object.fromEntries([...others, ...said].slice(-MOST))));
}
