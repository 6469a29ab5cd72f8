/** Habits of the web UIs: random seeds, batches, reused seeds, typed strengths, closed files, images sent on. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { file, image, openPage, report } from './page.mjs';

const form = (page, change) => page.send({ type: 'form/changed', change });

/** Answers the images of a run and returns their recipes. */
async function drawn(page, count) {
  const recipes = [];
  page.send({ type: 'run/generate' });
  for (let at = 0; at < count; at++) {
    recipes.push((await page.engine.waiting('generate')).args.recipe);
    await page.answer('generate', image());
  }
  await page.until('the run to end', ({ run }) => run.status === 'idle');
  return recipes;
}

it('a seed of -1 is another one with each run, the same for both images, and can be reused', async () => {
  const page = await openPage();
  await page.withDemoLora();
  form(page, { seed: -1 });
  assert.equal(page.state().form.seed, -1);
  const [a, b] = await drawn(page, 2);
  assert.equal(a.seed, b.seed);
  assert.ok(a.seed >= 0);
  const [c] = await drawn(page, 2);
  assert.notEqual(c.seed, a.seed);
  page.send({ type: 'seed/reuse' });
  assert.equal(page.state().form.seed, c.seed);
});

it('a strength that moves draws with the random seed of the images on show', async () => {
  const page = await openPage();
  await page.withDemoLora();
  form(page, { seed: -1 });
  const [a] = await drawn(page, 2);
  form(page, { live: true });
  page.send({ type: 'row/changed', index: 0, change: { strength: 0.5 } });
  assert.equal((await page.engine.waiting('generate')).args.recipe.seed, a.seed);
});

it('a batch counts the seed up, past 2^53 too, and its images are in the history', async () => {
  const page = await openPage();
  await page.withDemoLora();
  form(page, { seed: '9007199254740991', batch: 3 });
  const recipes = await drawn(page, 6);
  const seeds = recipes.map(({ seed }) => String(seed));
  assert.deepEqual(
    seeds,
    ['1', '1', '2', '2', '3', '3'].map((last) => `900719925474099${last}`),
  );
  assert.equal(page.state().run.images, 6);
  assert.equal(page.state().history.items.length, 6);
});

it('the image without LoRAs is not drawn again, in a batch of one and of two', async () => {
  const page = await openPage();
  await page.withDemoLora();
  await drawn(page, 2);
  page.send({ type: 'row/changed', index: 0, change: { strength: 0.5 } });
  await drawn(page, 1);
  page.send({ type: 'row/changed', index: 0, change: { strength: 0.6 } });
  form(page, { batch: 2 });
  assert.deepEqual(
    (await drawn(page, 3)).map(({ adapters }) => adapters.length),
    [1, 0, 1],
  );
});

it('a grid with a random seed has one seed', async () => {
  const page = await openPage();
  await page.withDemoLora();
  form(page, { seed: -1 });
  page.send({ type: 'axis/changed', side: 'x', change: { kind: 'steps', text: '2, 3' } });
  page.send({ type: 'grid/draw' });
  const first = (await page.engine.waiting('generate')).args.recipe.seed;
  await page.answer('generate', image());
  assert.equal((await page.engine.waiting('generate')).args.recipe.seed, first);
  assert.ok(first >= 0);
});

it('a strength beyond the slider stays, within bounds', async () => {
  const page = await openPage();
  const strength = (typed) => (
    page.send({ type: 'row/changed', index: 0, change: { strength: typed } }),
    page.state().form.loras[0].strength
  );
  assert.equal(strength(3.5), 3.5);
  assert.equal(strength(1000), 20);
});

it('a closed file leaves the form and its reading stops; the one before it comes on show', async () => {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: [file('a.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('a.safetensors'), fixes: [] });
  await page.until('a', ({ files }) => files[0]?.status === 'read');
  page.send({ type: 'files/dropped', files: [file('b.safetensors')], folders: [], place: '' });
  await page.engine.waiting('inspect');
  const [a, b] = page.state().files;
  assert.equal(page.state().selected, b.id);
  page.send({ type: 'files/close', id: b.id });
  await page.until('the reading to stop', ({ jobs }) => jobs.length === 0);
  assert.deepEqual(
    page.state().files.map(({ id }) => id),
    [a.id],
  );
  assert.equal(page.state().selected, a.id);
  assert.equal(page.state().form.loras[0].id, a.id);
  page.send({ type: 'files/close', id: a.id });
  assert.equal(page.state().selected, '');
  assert.equal(page.state().form.loras[0].id, '');
});

it('a generated image can be sent to img2img', async () => {
  const page = await openPage();
  await page.withDemoLora();
  await page.generated();
  page.send({ type: 'image/start', drawing: page.state().history.items[0] });
  assert.match(page.state().start.name, /\.png$/);
});
