/** Previews of a folder's LoRAs: one recipe with each file's trigger words, behind what the user generates, none lost. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { it } from 'node:test';
import { file, image, openPage, report } from './page.mjs';
const { TRIGGER, copyName, filledPrompt, passedOver, pathWithin, previewName } =
  await import('../../web/previews/plan.js');
const { hashesOf } = await import('../../web/previews/hashes.js');

URL.createObjectURL ??= () => 'blob:test';
URL.revokeObjectURL ??= () => {};

/** A page with a table of seven files. */
async function withTable(headers = {}) {
  const page = await openPage();
  page.engine.header = async ({ file }) => report(file.name, { headers_only: true, ...headers[file.name] });
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g'].map((name) => `${name}.safetensors`);
  page.send({ type: 'files/dropped', files: names.map((name) => file(name)), folders: [], place: '' });
  for (const name of names) {
    const { args, answer } = await page.engine.waiting('summarize');
    const words = args.place.file.name === 'a.safetensors' ? 'ohwx' : '';
    answer({ file: name, kind: 'adapter', container: 'safetensors', trigger_words: words, works_in: [], size: 10 });
  }
  await page.until('the table', ({ look }) => look.folder?.rows.every(({ summary }) => summary));
  page.send({ type: 'previews/open' });
  await page.until('the panel', ({ previews }) => previews);
  return page;
}
const drawnOf = (page) => Object.values(page.state().previews.made).filter(({ status }) => status === 'made').length;

it('trigger words take their place in the prompt, and nothing is left of it without them', () => {
  assert.equal(filledPrompt(`${TRIGGER}, red apple`, 'ohwx, $&'), 'ohwx, $&, red apple');
  assert.equal(filledPrompt(`${TRIGGER}, red apple`, ''), 'red apple');
  assert.equal(filledPrompt(`an apple, ${TRIGGER}`, ''), 'an apple');
  assert.equal(filledPrompt(`photo of ${TRIGGER}, best`, ''), 'photo of, best');
  assert.equal(filledPrompt(TRIGGER, ''), '');
});

it('files are named as the web UIs look for them', () => {
  assert.equal(previewName('styles/cat.v1.safetensors'), 'styles/cat.v1.preview.png');
  assert.equal(copyName('cat.safetensors'), 'cat.thumbnail.safetensors');
  assert.equal(pathWithin('loras/styles/cat.pt', 'loras'), 'styles/cat.pt');
  assert.equal(pathWithin('cat.pt', ''), 'cat.pt');
});

it('a file has the hashes that the web UIs compute', async () => {
  const data = new Uint8Array(5e6).map((_, at) => at % 251);
  const header = new TextEncoder().encode('{"a":1}');
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  const sha = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');
  const { signal } = new AbortController();
  const found = await hashesOf(new File([length, header, data], 'a.safetensors'), signal);
  assert.deepEqual(found, { sha256: sha(length, header, data), autoV3: sha(data) });
  assert.deepEqual(await hashesOf(new File([data], 'a.pt'), signal), { sha256: sha(data), autoV3: '' });
});

it('each file that fits gets an image by the recipe, the others a reason', async () => {
  const page = await withTable({
    'b.safetensors': { kind: 'vae' },
    'c.safetensors': {
      modules: [{ path: 'unet.x.attn2.to_k', shape: [4, 2048] }],
      base: { family: 'sdxl', label: 'SDXL' },
    },
  });
  const { form } = page.state().previews;
  assert.match(form.prompt, /^\{trigger\}, /);
  page.send({ type: 'previews/changed', change: { strength: 0.5, seed: 7, steps: 3 } });
  page.send({ type: 'previews/start' });
  const recipes = [];
  for (let at = 0; at < 5; at++) {
    const { args, answer } = await page.engine.waiting('generate');
    recipes.push(args.recipe);
    answer(image());
    await page.until('an image', () => drawnOf(page) > at);
  }
  await page.until('the end', ({ previews }) => previews.status === 'made');
  assert.deepEqual(
    recipes.map(({ prompt }) => prompt.startsWith('ohwx, ')),
    [true, false, false, false, false],
  );
  assert.deepEqual(
    recipes.map(({ adapters: [{ name, strength }], seed, steps }) => [name[0], strength, Number(seed), steps]),
    ['a', 'd', 'e', 'f', 'g'].map((name) => [name, 0.5, 7, 3]),
  );
  assert.match(recipes[0].adapters[0].sha256, /^[0-9a-f]{64}$/);
  const { previews, look } = page.state();
  const passed = passedOver(previews, look.folder.rows).map(({ path, reason }) => `${path}: ${reason}`);
  assert.match(passed[0], /^b.*VAE/i);
  assert.match(passed[1], /^c.*other sizes.*Tiny emoji SD/);
});

it("the user's own images go first, and the previews go on after them", async () => {
  const page = await withTable();
  page.send({ type: 'previews/start' });
  await page.engine.waiting('generate');
  page.send({ type: 'run/generate' });
  await page.until('the own run', ({ run }) => run.status === 'running');
  await page.until('the previews to wait', ({ jobs }) =>
    jobs.some(({ kind, status }) => kind === 'previews' && status === 'waiting'),
  );
  await page.answer('inspect', { report: report('duotone.safetensors'), fixes: [] });
  const own = [await page.engine.waiting('generate')];
  own[0].answer(image());
  await page.until('the first own image', ({ result }) => result?.without);
  own.push(await page.engine.waiting('generate'));
  own[1].answer(image());
  assert.deepEqual(
    own.map(({ args }) => args.recipe.adapters.map(({ name }) => name)),
    [[], ['duotone.safetensors']],
  );
  await page.until('the end of the own run', ({ run }) => run.status === 'idle');
  const { args } = await page.engine.waiting('generate');
  assert.equal(args.recipe.adapters[0].name, 'a.safetensors', 'the one that gave way is drawn anew');
});

it('what is changed in the form meanwhile is not for them', async () => {
  const page = await withTable();
  page.send({ type: 'previews/start' });
  const first = await page.engine.waiting('generate');
  page.send({ type: 'form/changed', change: { sampler: 'euler', negative: 'blurry', clipSkip: 2 } });
  first.answer(image());
  await page.until('one', () => drawnOf(page) === 1);
  const { args } = await page.engine.waiting('generate');
  const without = ({ adapters, prompt, ...recipe }) => recipe;
  assert.deepEqual(without(args.recipe), without(first.args.recipe));
});

it('a cancelled run goes on where it stopped', async () => {
  const page = await withTable();
  page.send({ type: 'previews/start' });
  await page.answer('generate', image());
  await page.until('one', () => drawnOf(page) === 1);
  await page.engine.waiting('generate');
  page.send({ type: 'previews/stop' });
  await page.until('the stop', ({ previews }) => previews.status === 'stopped');
  assert.equal(page.state().previews.error, null);
  page.send({ type: 'previews/start' });
  const { args } = await page.engine.waiting('generate');
  assert.equal(args.recipe.adapters[0].name, 'b.safetensors');
  assert.equal(drawnOf(page), 1);
  page.send({ type: 'previews/stop' });
  await page.until('the stop', ({ previews }) => previews.status === 'stopped');
  page.send({ type: 'previews/changed', change: { steps: 2 } });
  page.send({ type: 'previews/start' });
  assert.equal((await page.engine.waiting('generate')).args.recipe.adapters[0].name, 'a.safetensors', 'another recipe');
});

it('one failure passes over a file, three in a row stop the run', async () => {
  const page = await withTable();
  page.send({ type: 'previews/start' });
  const fail = async () => (await page.engine.waiting('generate')).fail({ kind: 'nan', message: 'NaN in a layer' });
  await fail();
  await page.answer('generate', image());
  await page.until('one', () => drawnOf(page) === 1);
  for (let at = 0; at < 3; at++) await fail();
  await page.until('the stop', ({ previews }) => previews.status === 'stopped');
  assert.equal(page.state().previews.error.message, 'NaN in a layer');
});

it('another model stops them', async () => {
  const page = await withTable();
  page.send({ type: 'previews/start' });
  const { answer } = await page.engine.waiting('generate');
  const files = [{ path: 'model_index.json', file: file('model_index.json') }];
  page.send({ type: 'files/dropped', files: [], folders: [{ name: 'other', files }], place: '' });
  answer(image());
  await page.until('the stop', ({ previews }) => previews.status === 'stopped');
  assert.match(page.state().previews.error.message, /Another model/);
});
