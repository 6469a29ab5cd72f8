/** A grid of LoRAs -> pairs of images to choose between without their names, and a ranking from the choices. Pure. */

/** @typedef {import("../types.d.ts").Grid} Grid */
/** @typedef {import("../types.d.ts").VotePair} VotePair */

/** Rounds of the ranking's iteration; far more than a few dozen votes need. */
const ROUNDS = 200;
/** Wins and defeats that each has beside its own, so that one that never lost has a finite strength. */
const PRIOR = 0.5;

/**
 * All pairs of columns in each row, as far as they are drawn, each once.
 * @param {Grid} grid
 * @returns {VotePair[]}
 */
export function pairsOf({ x, y, cells }) {
  const columns = x.ticks.map((_, at) => at);
  return y.ticks.flatMap((_, row) =>
    columns.flatMap((a) =>
      columns
        .slice(a + 1)
        .filter((b) => [a, b].every((at) => cells[row * columns.length + at]))
        .map((b) => ({ row, left: a, right: b })),
    ),
  );
}

/**
 * In random order, and each way round by chance.
 * @param {VotePair[]} pairs @param {() => number} random 0 to 1
 * @returns {VotePair[]}
 */
export function shuffled(pairs, random) {
  const drawn = pairs.map((pair) => ({ pair, place: random(), turned: random() < 0.5 }));
  drawn.sort((a, b) => a.place - b.place);
  return drawn.map(({ pair: { row, left, right }, turned }) =>
    turned ? { row, left: right, right: left } : { row, left, right },
  );
}

/**
 * The columns from the best to the worst, with their wins and their strengths in the model of Bradley and Terry
 * (1952), fitted as Hunter (2004) does; a tie is half a win for each.
 * @param {number} count of columns
 * @param {import("../types.d.ts").Vote["votes"]} votes
 */
export function ranking(count, votes) {
  const columns = Array.from({ length: count }, (_, column) => column);
  const games = votes.map(({ pair, choice }) => ({
    ...pair,
    won: choice === "left" ? 1 : choice === "right" ? 0 : 0.5,
  }));
  const wins = columns.map((column) =>
    games.reduce(
      (sum, { left, right, won }) => sum + (left === column ? won : 0) + (right === column ? 1 - won : 0),
      0,
    ),
  );
  const played = columns.map((column) => games.filter(({ left, right }) => [left, right].includes(column)).length);
  let strengths = columns.map(() => 1);
  for (let round = 0; round < ROUNDS; round++) {
    const next = columns.map((column) => {
      const met = games.filter(({ left, right }) => [left, right].includes(column));
      const weight = met.reduce((sum, { left, right }) => sum + 1 / (strengths[left] + strengths[right]), 0);
      // The prior: games won and lost against one of strength 1.
      return (wins[column] + PRIOR) / (weight + (2 * PRIOR) / (strengths[column] + 1));
    });
    strengths = next;
  }
  return columns
    .map((column) => ({
      column,
      wins: wins[column],
      played: played[column],
      strength: strengths[column],
    }))
    .sort((a, b) => b.strength - a.strength || a.column - b.column);
}

/** Strengths nearer than this are the same. */
const SAME = 1e-6;

/**
 * The columns in the first place: several if they are equally strong.
 * @param {ReturnType<typeof ranking>} ranked
 */
export function winnersOf(ranked) {
  return ranked.filter(({ strength }) => ranked[0].strength - strength < SAME).map(({ column }) => column);
}
