/** What happens when several things are asked for at once: one image at a time, and nothing waits for ever. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { file, openPage, image, report } from './page.mjs';

/** A page that follows its sliders: both images are there. */
async function livePage() {
  const page = await openPage();
  await page.withDemoLora();
  await page.generated();
  page.send({ type: 'form/changed', change: { live: true } });
  const slide = (strength) => page.send({ type: 'row/changed', index: 0, change: { strength } });
  return { page, slide };
}

it('Generate pressed twice during a live redraw starts one run', async () => {
  const { page, slide } = await livePage();
  slide(0.4);
  await page.engine.waiting('generate');
  const before = page.log.length;
  page.send({ type: 'run/generate' });
  page.send({ type: 'run/generate' });
  await page.rest();
  const started = page.log.slice(before).filter(({ type }) => type === 'run/started');
  assert.equal(new Set(started.map(({ job }) => job)).size, 1);
  assert.equal(page.engine.most, 1, 'images that were made at once');
  assert.equal(page.state().run.live, false);
  await page.answer('generate', image());
  await page.until('its end', ({ run }) => run.status === 'idle');
  assert.equal(page.state().run.error, null);
});

it('a slider does not cancel a grid', async () => {
  const { page, slide } = await livePage();
  page.send({ type: 'axis/changed', side: 'x', change: { kind: 'seed', text: '1, 2, 3' } });
  page.send({ type: 'grid/draw' });
  await page.answer('generate', image());
  await page.engine.waiting('generate');
  slide(0.7);
  await page.rest(300);
  assert.ok(!page.engine.calls.includes('cancel'));
  assert.equal(page.state().run.grid, true);
  await page.answer('generate', image());
  await page.answer('generate', image());
  await page.until('the whole grid', ({ grid }) => grid?.cells.every(Boolean));
  // Then the image follows the slider.
  await page.answer('generate', image());
  await page.until('the end', ({ run }) => run.status === 'idle' && run.live);
});

it('a slider does not cancel an image that was asked for', async () => {
  const { page, slide } = await livePage();
  page.send({ type: 'form/changed', change: { live: false } });
  page.send({ type: 'run/generate' });
  await page.engine.waiting('generate');
  page.send({ type: 'form/changed', change: { live: true } });
  slide(0.9);
  await page.rest(300);
  assert.ok(!page.engine.calls.includes('cancel'));
  await page.answer('generate', image());
});

it('the last position of a slider wins', async () => {
  const { page, slide } = await livePage();
  slide(0.1);
  await page.engine.waiting('generate');
  slide(0.2);
  await page.rest(300);
  slide(0.3);
  const { args } = await page.until('the next image', () =>
    page.engine.open.find(({ args }) => args.recipe?.adapters[0]?.strength === 0.3),
  );
  assert.equal(args.recipe.adapters[0].strength, 0.3);
  assert.equal(page.engine.most, 1);
  await page.answer('generate', image());
  await page.until('its end', ({ run }) => run.status === 'idle');
});

it('a file that is asked for twice while it is read is read once, and both are answered', async () => {
  const page = await openPage();
  const [{ file: name }] = page.state().demo.catalogue.loras;
  // A run needs the LoRA, and it is opened meanwhile.
  page.send({ type: 'run/generate' });
  await page.until('the model', ({ base }) => base.info);
  page.send({ type: 'demo/open', id: `demo:${name}` });
  await page.engine.waiting('inspect');
  await page.rest(100);
  await page.answer('inspect', { report: report(name), fixes: [] });
  await page.answer('generate', image());
  await page.answer('generate', image());
  await page.until('both images', ({ run, result }) => run.status === 'idle' && result?.with);
  assert.equal(page.engine.calls.filter((call) => call === 'inspect').length, 1);
});

it('each reading of a file settles, however often it is asked for', async () => {
  const page = await openPage();
  const { Looking } = await import('../../web/inspect/effects.js');
  const { Jobs } = await import('../../web/core/jobs.js');
  const { Readers } = await import('../../web/engine/readers.js');
  const { keep } = await import('../../web/files/opened.js');
  const { engine, send } = page;
  keep('own', file('own.safetensors'));
  const looking = new Looking({
    client: engine,
    readers: new Readers(engine, () => engine),
    jobs: new Jobs(() => {}),
    send,
    getState: page.state,
  });
  const first = looking.read(['own']);
  await engine.waiting('inspect');
  const second = looking.read(['own']);
  await page.answer('inspect', { report: report('own.safetensors'), fixes: [] });
  await Promise.all([first, second]);
  assert.equal(engine.calls.filter((call) => call === 'inspect').length, 1);
});

it('what is cancelled in the list of tasks waits for a click', async () => {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: [file('one.safetensors')], folders: [], place: '' });
  await page.engine.waiting('inspect');
  const [job] = page.state().jobs;
  assert.deepEqual([job.kind, job.name, job.status], ['read', 'one.safetensors', 'running']);
  page.send({ type: 'job/cancel', id: job.id });
  await page.until('the file to wait', ({ files, jobs }) => files[0].status === 'header' && !jobs.length);
  page.send({ type: 'files/continue', id: page.state().files[0].id });
  await page.answer('inspect', { report: report('one.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0].status === 'read');
});

it('a run waits for a LoRA that is still read, and does not call it unusable', async () => {
  const page = await openPage();
  await page.withDemoLora();
  const id = page.state().files[0].id;
  page.send({ type: 'files/continue', id }); // it is read once more
  await page.engine.waiting('inspect');
  page.send({ type: 'run/generate' });
  await page.until('the model', ({ base }) => base.info);
  await page.rest();
  assert.equal(page.state().run.error, null);
  await page.answer('inspect', { report: report('a'), fixes: [] });
  await page.answer('generate', image());
  await page.answer('generate', image());
  await page.until('both images', ({ run, result }) => run.status === 'idle' && result?.with);
});

it('the file that was dropped last is read first, and the other goes on after it', async () => {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: [file('one.safetensors')], folders: [], place: '' });
  await page.engine.waiting('inspect');
  page.send({ type: 'files/dropped', files: [file('two.safetensors')], folders: [], place: '' });
  const second = await page.until('the second file', () =>
    page.engine.open.find(({ call, args }) => call === 'inspect' && args.place.file.name === 'two.safetensors'),
  );
  assert.equal(page.engine.open.filter(({ call }) => call === 'inspect').length, 1);
  second.answer({ report: report('two.safetensors'), fixes: [] });
  await page.answer('inspect', { report: report('one.safetensors'), fixes: [] });
  await page.until('both reports', ({ files }) => files.every(({ status }) => status === 'read'));
});

it('a table that is closed is not read on', async () => {
  const page = await openPage();
  const files = Array.from({ length: 40 }, (_, at) => file(`${at}.safetensors`));
  page.send({ type: 'files/dropped', files, folders: [], place: '' });
  await page.engine.waiting('summarize');
  page.send({ type: 'folder/closed' });
  const asked = page.engine.calls.filter((call) => call === 'summarize').length;
  for (const { answer } of page.engine.open) answer(null);
  await page.rest();
  assert.equal(page.engine.calls.filter((call) => call === 'summarize').length, asked);
});

it('every row of a table is told, also those that come in between', async () => {
  const page = await openPage();
  page.send({
    type: 'files/dropped',
    files: Array.from({ length: 9 }, (_, at) => file(`${at}.safetensors`)),
    folders: [],
    place: '',
  });
  await page.engine.waiting('summarize');
  await page.rest(300); // the first row is told by itself
  while (page.state().jobs.length) {
    page.engine.open[0]?.answer({ file: 'x' });
    await page.rest(5);
  }
  assert.ok(page.state().look.folder.rows.every(({ summary }) => summary));
});

it('images wait for a measurement of the GPU, and can be cancelled meanwhile', async () => {
  const page = await openPage();
  await page.withDemoLora();
  await page.generated();
  page.engine.most = 0;
  page.send({ type: 'bench/run' });
  await page.engine.waiting('benchRoof');
  page.send({ type: 'run/generate' });
  await page.rest();
  assert.equal(page.engine.most, 0, 'images that were made beside the measurement');
  assert.equal(page.state().run.status, 'running');
  page.send({ type: 'run/cancel' });
  await page.until('the end of the run', ({ run }) => run.status === 'idle');
  await page.answer('benchRoof', []);
  await page.answer('benchCase', { name: 'a kernel' });
  await page.until('the end of the measurement', ({ bench }) => bench.status === 'idle');
  assert.equal(page.state().bench.error, null);
});

it('a model that does not open is let go, and the last one is opened again', async () => {
  const page = await openPage();
  await page.withDemoLora();
  await page.generated();
  page.engine.unfit = /^folder/;
  page.send({
    type: 'files/dropped',
    files: [],
    folders: [{ name: 'broken', files: [{ path: 'model_index.json', file: file('model_index.json') }] }],
    place: '',
  });
  await page.until('the message', ({ remark }) => remark?.severity === 'refuse');
  await page.until('the demo model', ({ base, jobs }) => base.chosen === 'demo' && base.info && !jobs.length);
  assert.equal(page.engine.model, 'demo on gpu');
});

/** A page with one LoRA of the user's on show, and an edit of it that is being written. */
async function writingPage() {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: [file('one.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('one.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0]?.status === 'read');
  page.send({ type: 'change/opened', kind: 'resize', form: { fixed: 2 } });
  page.send({ type: 'change/make' });
  await page.engine.waiting('applyEdit');
  const made = { edited: { preview: {}, outcome: { thinned: [] } }, file: file('one-new.safetensors') };
  return { page, made };
}

it('an edit whose form is changed meanwhile is stopped, and its answer is dropped', async () => {
  const { page, made } = await writingPage();
  page.send({ type: 'change/edited', change: { fixed: 3 } });
  await page.until('the end of the job', ({ jobs }) => !jobs.some(({ kind }) => kind === 'make'));
  assert.equal(page.state().look.change.result, null);
  page.send({ type: 'change/make' });
  await page.answer('applyEdit', made);
  await page.until('the result', ({ look }) => look.change.result);
});

it('an edit that ends while another file is on show becomes a file of its own', async () => {
  const { page, made } = await writingPage();
  page.send({ type: 'files/dropped', files: [file('two.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('two.safetensors'), fixes: [] });
  await page.until('the other report', ({ files }) => files[1]?.status === 'read');
  await page.answer('applyEdit', made);
  await page.answer('inspect', { report: report('one-new.safetensors'), fixes: [] });
  await page.until('three files', ({ files }) => files.length === 3 && files[2].status === 'read');
  assert.equal(page.state().selected, page.state().files[1].id);
});

it('a crash while an image is made is said, loses none that is there, and the next run opens the model anew', async () => {
  const page = await openPage();
  await page.withDemoLora();
  await page.generated();
  const { result, history } = page.state();
  page.send({ type: 'form/changed', change: { seed: 7 } });
  page.send({ type: 'run/generate' });
  const drawing = await page.engine.waiting('generate');
  page.engine.model = '';
  page.engine.known.clear();
  drawing.fail({ kind: 'crashed', message: 'out of memory' });
  await page.until('its end', ({ run }) => run.status === 'idle');
  assert.match(page.state().run.error.message, /out of memory/);
  assert.equal(page.state().result, result);
  assert.equal(page.state().history, history);
  await page.generated();
  assert.equal(page.state().run.error, null);
  assert.equal(page.engine.calls.filter((call) => call === 'openModel').length, 2);
});
