/** Training runs on the page: found among opened files, measured in two parts, told while they are measured, cancelled. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { file, openPage } from './page.mjs';
const { editOf, newName, FIRST_CHANGE, FIRST_FORM } = await import('../../web/edit/state.js');

const { lossesOf, metadataOf } = await import('../../web/series/headers.js');

const EPOCHS = [1, 2, 3, 4, 5, 6, 7, 8];
const run = {
  name: 'cat',
  files: EPOCHS.map((epoch, index) => ({ index, name: `cat-00000${epoch}.safetensors`, epoch, step: null })),
};
const layer = (path, norm) => ({
  path,
  block: 'IN01',
  part: 'attention',
  points: EPOCHS.map((epoch) => ({ norm: norm * epoch, effective_rank: 1, moved: null })),
});

/** A page with a folder of eight epochs that is being measured. */
async function measuring() {
  const page = await openPage();
  page.engine.runs = [run];
  const files = EPOCHS.map((epoch) => file(`cat-00000${epoch}.safetensors`));
  page.send({ type: 'files/dropped', files, folders: [], place: '' });
  for (let at = 0; at < EPOCHS.length; at++) await page.answer('summarize', { file: 'x', kind: 'adapter' });
  const parts = [await page.engine.waiting('measureSeries')];
  await page.until('both parts', () => page.engine.open.filter(({ call }) => call === 'measureSeries').length === 2);
  parts.push(page.engine.open.filter(({ call }) => call === 'measureSeries')[1]);
  return { page, parts };
}

it('a run among the files of a folder is measured by two workers, and told while it is', async () => {
  const { page, parts } = await measuring();
  assert.deepEqual(
    parts.map(({ args }) => [args.part, args.parts, args.places.length]),
    [
      [0, 2, 8],
      [1, 2, 8],
    ],
  );
  assert.equal(page.state().series.status, 'reading');
  parts[0].args.hear({ layers: [layer('a', 1)], done: 0.5 });
  await page.until('a first chart', ({ series }) => series.summary?.totals[7].norm === 8);
  assert.equal(page.state().series.done, 0.25, 'half of one of two parts');
  parts[0].args.hear({ layers: [], done: 1 });
  parts[1].args.hear({ layers: [layer('b', 10)], done: 1 });
  parts.forEach(({ answer }) => answer());
  await page.until('all of it', ({ series }) => series.status === 'read');
  const { summary, runs } = page.state().series;
  assert.deepEqual(
    summary.totals.map(({ norm }) => norm),
    EPOCHS.map((epoch) => 11 * epoch),
  );
  assert.equal(runs[0].ids.length, 8);
});

it('a run can be cancelled and measured again', async () => {
  const { page, parts } = await measuring();
  parts[0].args.hear({ layers: [layer('a', 1)], done: 0.5 });
  page.send({ type: 'series/stop' });
  await page.until('its end', ({ series }) => series.status === 'stopped');
  page.send({ type: 'series/start' });
  assert.equal(page.state().series.summary, null, 'nothing is left of what was cancelled');
  await page.engine.waiting('measureSeries');
  page.send({ type: 'folder/closed' });
  await page.rest();
  assert.equal(page.state().series, null);
  assert.equal(page.engine.open.filter(({ call }) => call === 'measureSeries').length, 0);
});

it('files that are no run have no chart', async () => {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: EPOCHS.map((at) => file(`${at}.safetensors`)), folders: [], place: '' });
  await page.until('the table', ({ look }) => look.folder);
  await page.rest();
  assert.equal(page.state().series, null);
});

it('methods of merging become options of the edit', () => {
  const merge = (form) =>
    editOf({ ...FIRST_CHANGE, kind: 'merge', form: { ...FIRST_FORM, others: [{ id: 'b', strength: 0.5 }], ...form } })
      .edit;
  assert.equal(merge({}).options.method, 'linear');
  const ties = merge({ method: 'ties', density: 20 });
  assert.deepEqual([ties.options.method, ties.options.density], ['ties', 0.2]);
  assert.equal(merge({ method: 'slerp', position: 25 }).options.position, 0.25);
  const blocks = merge({ method: 'blocks', donors: { IN01: 0, MID: 1, TE: 1 } });
  assert.equal(blocks.options.method, 'linear');
  assert.deepEqual(
    blocks.parts.map(({ strengths }) => strengths),
    [
      { IN01: 1, MID: 0, TE: 0 },
      { IN01: 0, MID: 1, TE: 1 },
    ],
  );
  const name = (method) =>
    newName('cat.safetensors', { ...FIRST_CHANGE, kind: 'merge', form: { ...FIRST_FORM, method } });
  assert.deepEqual([name('linear'), name('ties')], ['cat.merged.safetensors', 'cat.merged.ties.safetensors']);
});

it('what headers call a loss, and what differs, is a line of a chart', async () => {
  const headers = [0.5, 0.4, 0.3].map((loss, at) => ({
    ss_loss_type: 'l2',
    ss_masked_loss: 'False',
    loss_weight: '1',
    glossary: String(at),
    training_info: JSON.stringify({ step: 10 * at, loss, note: 'x' }),
    ...(at !== 1 && { 'avg_loss ': String(loss / 2) }),
    broken_loss: '{',
  }));
  assert.deepEqual(lossesOf(headers), [
    { name: 'training_info.loss', values: [0.5, 0.4, 0.3] },
    { name: 'avg_loss ', values: [0.25, null, 0.15] },
  ]);
  assert.deepEqual(lossesOf([{}, undefined, { loss: 'nan' }]), []);
  const text = '{"__metadata__":{"loss":"0.1"}}';
  const length = new Uint8Array(8);
  length[0] = text.length;
  assert.deepEqual(await metadataOf(new File([length, text], 'a.safetensors')), { loss: '0.1' });
  assert.deepEqual(await metadataOf(file('no-header.pt')), {});
});
