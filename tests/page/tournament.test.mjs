/** The blind vote: every pair once, in any order, and the ranking that follows from the choices. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openPage } from './page.mjs';
const { pairsOf, ranking, shuffled, winnersOf } = await import('../../web/gallery/tournament.js');

const tick = (value) => ({ value, label: value });
const grid = {
  title: '',
  x: { name: 'LoRA', kind: 'lora', ticks: ['a', 'b', 'c'].map(tick) },
  y: { name: 'Seed', kind: 'seed', ticks: ['0', '1'].map(tick) },
  cells: Array(6).fill({ image: {} }),
};

it('each pair of LoRAs is shown once for each seed', () => {
  const pairs = pairsOf(grid);
  assert.equal(pairs.length, 6);
  assert.equal(pairsOf({ ...grid, cells: grid.cells.with(0, null) }).length, 4, 'what is not drawn is left out');
  let next = 0;
  const turns = shuffled(pairs, () => (next = (next + 0.37) % 1));
  const named = (list) => new Set(list.map(({ row, left, right }) => [row, ...[left, right].sort()].join()));
  assert.deepEqual(named(turns), named(pairs));
  assert.ok(turns.some(({ left, right }) => left > right) && turns.some(({ left, right }) => left < right));
});

it('the ranking follows the choices', () => {
  const best = [2, 0, 1];
  const votes = pairsOf(grid).map((pair) => ({
    pair,
    choice: best.indexOf(pair.left) < best.indexOf(pair.right) ? 'left' : 'right',
  }));
  const ranked = ranking(3, votes);
  assert.deepEqual(
    ranked.map(({ column, wins, played }) => [column, wins, played]),
    [
      [2, 4, 4],
      [0, 2, 4],
      [1, 0, 4],
    ],
  );
  assert.ok(ranked.every(({ strength }) => Number.isFinite(strength) && strength > 0));
  const tied = ranking(
    3,
    pairsOf(grid).map((pair) => ({ pair, choice: 'same' })),
  );
  assert.deepEqual(winnersOf(ranked), [2]);
  assert.deepEqual(winnersOf(tied).sort(), [0, 1, 2], 'all together');
  assert.ok(Math.max(...tied.map(({ strength }) => strength)) < 1.001, 'equal choices, equal strengths');
});

it('two strengths are those of the closed form', () => {
  const pair = { row: 0, left: 0, right: 1 };
  const votes = [...Array(30).fill({ pair, choice: 'left' }), ...Array(10).fill({ pair, choice: 'right' })];
  const [first, second] = ranking(2, votes);
  const odds = first.strength / second.strength;
  assert.ok(Math.abs(odds - 3) < 0.35, `30 wins of 40 are odds of 3, a little less with the prior: ${odds}`);
});

it('a vote goes from pair to pair, and ends with a new grid', async () => {
  const page = await openPage();
  page.send({ type: 'grid/started', grid });
  const pairs = pairsOf(grid);
  page.send({ type: 'vote/started', pairs });
  pairs.forEach(() => page.send({ type: 'vote/given', choice: 'left' }));
  page.send({ type: 'vote/given', choice: 'right' });
  assert.equal(page.state().vote.votes.length, pairs.length, 'nothing follows the last pair');
  page.send({ type: 'grid/started', grid });
  assert.equal(page.state().vote, null);
});
