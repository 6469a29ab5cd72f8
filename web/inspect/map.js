/** A report -> the network as columns of blocks and lanes of layers, and how strong a layer's change is. Pure. */

/** @typedef {import("../engine/types.d.ts").ModuleRow} Row */
/** @typedef {import("../engine/types.d.ts").Coverage} Block */
/**
 * @typedef {{ row: Row, lane: number, line: number, across: number, of: number }} Tile its line in the lane, and its
 * place among `of` side by side
 */
/** @typedef {{ block: Block, x: number, width: number, over: string, under: string, tiles: Tile[] }} Column */
/** @typedef {{ name: string, layers: string[] }} Lane */
/** @typedef {{ component: string, columns: Column[], rows: Lane[], width: number }} Strip */

/** Where a colour ends and the next begins: shares of the weights' norm. */
export const LIMITS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1];

/** Length of a row of a trained weight, as the engine's health check has it. */
const ROW = 0.7;

/**
 * The lanes by what the layers' names say, in the order in which they are drawn; the last one that fits counts.
 * @type {[name: string, says: RegExp][]}
 */
const LANES = [
  ["other", /^/],
  ["resnets", /^(conv|time_emb|time_embedding|add_embedding)/],
  ["attention", /attn|attention|qkv/i],
  ["self_attention", /^(attn1|self_attn)/],
  ["cross_attention", /^(attn2|cross_attn)/],
  ["feed_forward", /^ff|mlp|ffn|feed_forward|^linear[12]$|^DenseReluDense/],
  ["modulation", /mod(ulation)?[._]|^norm.*linear|adaLN/],
  ["projections", /^proj_(in|out)$/],
];

/** Lanes that a UNet has, changed or not. */
const OF_A_UNET = ["resnets", "self_attention", "cross_attention", "feed_forward"];

/** Lines of a lane, first to last, by the ends of the layers' names. */
const LINES = [
  /conv_?(in|1)?$/,
  /time_emb|linear_1/,
  /conv_?(out|2)$|linear_2/,
  /shortcut/,
  /q(_proj)?$/,
  /k(_proj)?$/,
  /v(_proj)?$/,
  /(out|o)(_proj)?$/,
];

/** What a number stands behind where it counts blocks or layers of a block. */
const COUNTED = /(blocks?|layers|attentions|resnets|samplers|refiner|blk)$/;

/** @param {{ component: string, block: string }} block */
export function blockKeyOf({ component, block }) {
  return `${component}/${block}`;
}

/**
 * ‖change‖ / ‖weight‖ at strength 1, the weight's norm estimated from its size where no base model was at hand; null
 * while the change is not measured.
 * @param {Row} row
 */
export function relative({ norm, base_norm, shape }) {
  return norm === null ? null : norm / (base_norm ?? ROW * Math.sqrt(shape[0] ?? 1));
}

/** The colour of a layer: 0 not measured, 1 to 7 from weak to more than usual. @param {Row} row */
export function step(row) {
  const share = relative(row);
  if (share === null) return 0;
  const at = LIMITS.findIndex((limit) => share < limit);
  return 1 + (at < 0 ? LIMITS.length : at);
}

/** @param {{ row: Row }} a @param {{ row: Row }} b */
const byPath = (a, b) => a.row.path.localeCompare(b.row.path, "en", { numeric: true });

/**
 * One network of a report. Blocks stand in their order with a gap before each group (BASE, IN, MID, OUT, END); one with
 * several transformer layers is wider.
 * @param {import("../engine/types.d.ts").Report} report @param {string} component @returns {Strip}
 */
export function lanes({ coverage, modules }, component) {
  const blocks = coverage.filter((block) => block.component === component);
  const own = modules
    .filter(({ path }) => path.startsWith(`${component}.`))
    .map((row) => ({ row, layer: nameInBlock(row.path) }))
    .sort(byPath);
  const rows = lanesOf(
    own.map(({ layer }) => layer),
    component,
  );
  let x = 0;
  let group = "";
  const columns = blocks.map((block) => {
    const [, name, number] = /** @type {RegExpMatchArray} */ (block.block.match(/^(\D*)(.*)$/));
    const opens = name !== group;
    if (opens && group) x += 0.5;
    group = name;
    const inside = own.filter(({ row }) => row.block === block.block);
    const alike = rows.map(({ layers }) => layers.map((layer) => inside.filter((each) => each.layer === layer)));
    const most = alike.map((lines) => Math.max(1, ...lines.map(({ length }) => length)));
    const width = 1 + Math.min(1.6, (Math.max(...most) - 1) * 0.25);
    const tiles = alike.flatMap((lines, lane) =>
      lines.flatMap((line, i) => line.map(({ row }, across) => ({ row, lane, line: i, across, of: most[lane] }))),
    );
    const under = number.replace(/^0+(?=.)/, "") || name.toLowerCase();
    const column = { block, x, width, over: opens && number && name !== "TE" ? name : "", under, tiles };
    x += width;
    return column;
  });
  return { component, columns, rows, width: x };
}

/** A layer's name within its block. @param {string} path */
function nameInBlock(path) {
  const names = path.split(".").slice(1);
  const cut = names.findLastIndex((name, i) => /^\d+$/.test(name) && COUNTED.test(names[i - 1] ?? ""));
  return names
    .slice(cut + 1)
    .join(".")
    .replace(/\.0(\.proj)?$/, "");
}

/** The lanes of these layers. @param {string[]} names @param {string} component @returns {Lane[]} */
function lanesOf(names, component) {
  const line = (/** @type {string} */ layer) => LINES.findIndex((end) => end.test(layer));
  const distinct = [...new Set(names)].sort((a, b) => line(a) - line(b) || a.localeCompare(b, "en", { numeric: true }));
  const laneOf = (/** @type {string} */ layer) => LANES.findLast(([, says]) => says.test(layer))?.[0];
  const all = LANES.map(([name]) => ({ name, layers: distinct.filter((layer) => laneOf(layer) === name) }));
  const kept = all.filter(({ name, layers }) => layers.length || (component === "unet" && OF_A_UNET.includes(name)));
  return [...kept.slice(kept[0]?.name === "other" ? 1 : 0), ...kept.filter(({ name }) => name === "other")].map(
    ({ name, layers }) => ({
      name,
      layers: layers.length ? layers : [""],
    }),
  );
}
