/** What each block does: the axis that shows it, and what follows from its images. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openPage, report } from './page.mjs';
const { blockStudy, ticksOf, plannedGrid } = await import('../../web/grid.js');
const { blockEffects, suggestedWeights } = await import('../../web/gallery/block-effects.js');

const row = (block) => ({
  component: 'unet',
  block,
  label: { id: 'x', values: {}, text: block },
  covered: 1,
  total: 1,
  norm: 1,
});
const BLOCKS = ['IN01', 'MID', 'OUT03'];

/** A page whose form has a LoRA with three blocks. */
async function studied() {
  const page = await openPage();
  const id = await page.withDemoLora();
  page.send({ type: 'files/read', id, report: report('a', { coverage: BLOCKS.map(row) }), fixes: [] });
  const axis = blockStudy(page.state());
  page.send({ type: 'axis/changed', side: 'x', change: axis });
  return { page, axis };
}

/** An image of one grey. */
const grey = (level) => ({ width: 1, height: 1, rgba: Uint8ClampedArray.of(level, level, level, 255) });

it('all blocks, all but each, each alone and none become one axis', async () => {
  const { page, axis } = await studied();
  assert.equal(axis.kind, 'blocks:0');
  const values = ticksOf(page.state(), page.state().axes.x).map(({ value }) => value);
  assert.equal(values.length, 2 * BLOCKS.length + 2);
  assert.deepEqual(new Set(values), new Set(axis.chosen), 'the axis offers all that it asks for');
  assert.ok(values.includes('') && values.includes('IN01=0,MID=0,OUT03=0') && values.includes('IN01=0,MID=0'));
});

it('effects are those of the images, and idle blocks are left out', async () => {
  const { page } = await studied();
  const { grid } = plannedGrid(page.state());
  const levels = {
    '': 200,
    'IN01=0': 100,
    'MID=0': 199,
    'OUT03=0': 160,
    'IN01=0,MID=0,OUT03=0': 50,
    'MID=0,OUT03=0': 90,
  };
  const cells = grid.x.ticks.map(({ value }) => (value in levels ? { image: grey(levels[value]) } : null));
  const effects = blockEffects({ ...grid, cells });
  assert.deepEqual(
    effects.map(({ block, without, only }) => [block, without, only]),
    [
      ['IN01', 100, 40],
      ['OUT03', 40, null],
      ['MID', 1, null],
    ],
  );
  assert.equal(suggestedWeights(effects), 'MID=0');
  assert.deepEqual(blockEffects({ ...grid, cells: cells.map(() => null) }), []);
});
