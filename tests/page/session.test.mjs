/** Work survives a reload: what is kept of the form is checked, and files that come back take their rows again. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { file, image, openPage, report } from './page.mjs';
const { needsConsent, openAgain, openedFiles } = await import('../../web/app/session-files.js');
const { FIRST_FORM, storedForm } = await import('../../web/form.js');
const { folderOf } = await import('../../web/files/opened.js');
const { scopedName } = await import('../../web/core/scope.js');

it('a kept form is whole again', () => {
  const form = {
    ...FIRST_FORM,
    prompt: 'a cat',
    seed: '18446744073709551615',
    eta: 0.5,
    batch: 4,
    loras: [{ id: 'demo:ink.safetensors', on: true, strength: 0.5, textEncoder: null, blocks: '' }],
  };
  assert.deepEqual(storedForm(structuredClone(form)), form);
});

it('a form of another version or of nothing gives the first form where it does not fit', () => {
  for (const kept of [null, 5, 'x', [], { prompt: 5, steps: 'many', loras: 'none', seed: {}, unknown: 1 }])
    assert.deepEqual(storedForm(kept), FIRST_FORM);
  assert.equal(storedForm({ steps: 1e9 }).steps, 100);
  assert.deepEqual(
    storedForm({ loras: [{ id: 'file:1', strength: 2 }, null] }).loras,
    FIRST_FORM.loras,
    'files have other ids in the next visit',
  );
  assert.equal(storedForm({ loras: [{ id: 'demo:a', strength: 1e9 }] }).loras[0].strength, 20);
});

it('a file that comes back takes its row of the stack again', async () => {
  const page = await openPage();
  const row = { name: 'mine.safetensors', id: 'file:9', on: true, strength: 0.4, textEncoder: null, blocks: 'MID=0' };
  page.send({
    type: 'session/restored',
    form: { ...page.state().form, prompt: 'a dog' },
    rows: [row],
    drawings: [{ id: 7, image: image(), recipe: { prompt: 'x', seed: 1 }, loras: [] }],
  });
  assert.equal(page.state().history.items.length, 1);
  page.send({ type: 'session/waiting', waiting: [], lost: ['mine.safetensors', 'other.safetensors'] });
  page.send({ type: 'files/dropped', files: [file('mine.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('mine.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0]?.status === 'read');
  const { form, files, session } = page.state();
  const mine = form.loras.find(({ id }) => id === files[0].id);
  assert.deepEqual([mine.strength, mine.blocks], [0.4, 'MID=0']);
  assert.equal(form.prompt, 'a dog');
  assert.deepEqual(session.rows, []);
  assert.deepEqual(session.lost, ['other.safetensors'], 'what was opened again is missed no more');
});

it('the LoRAs of a stack come back in their order, and no other file takes a place in it, whichever is read first', async () => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 2, 0],
    [2, 0, 1],
  ]) {
    const page = await openPage();
    const names = ['a.safetensors', 'b.safetensors', 'c.safetensors'];
    const row = { id: 'file:9', on: true, strength: 0.4, textEncoder: null, blocks: '' };
    const stack = [names[0], 'demo:duotone.safetensors', names[1], names[2]];
    const rows = names.map((name) => ({ ...row, name, after: stack.slice(0, stack.indexOf(name)) }));
    const form = storedForm({ loras: [{ ...row, id: stack[1], strength: 0.5 }] });
    page.send({ type: 'session/restored', form, usual: null, rows, drawings: [] });
    for (const name of [...names, 'beside.safetensors'])
      page.send({ type: 'files/dropped', files: [file(name)], folders: [], place: 'session' });
    await page.until('all files', ({ files }) => files.length === 4);
    const { files } = page.state();
    for (const at of [order[0], 3, ...order.slice(1)])
      page.send({ type: 'files/read', id: files[at].id, report: report(files[at].name), fixes: [] });
    assert.deepEqual(
      page.state().form.loras.map(({ id, strength }) => [id, strength]),
      [
        [files[0].id, 0.4],
        [stack[1], 0.5],
        [files[1].id, 0.4],
        [files[2].id, 0.4],
      ],
    );
  }
});

/** What finds a file again, as the browser gives it. */
const handleOf = (name, { state = 'granted', answer = 'denied', gone = false } = {}) => ({
  kind: 'file',
  queryPermission: async () => state,
  requestPermission: async () => answer,
  getFile: async () => (gone ? Promise.reject(new Error('gone')) : file(name)),
});
const folder = {
  kind: 'directory',
  queryPermission: async () => 'granted',
  async *entries() {
    yield ['model_index.json', handleOf('model_index.json')];
    yield [
      'unet',
      {
        kind: 'directory',
        entries: async function* () {
          yield ['config.json', handleOf('config.json')];
        },
      },
    ];
  },
};

it('models, VAE and files are opened again as what they were, and what is not found is named', async () => {
  const sent = [];
  const opened = (name, as, handle, more) => ({ name, as, handle, key: '', ...more });
  const all = [
    opened('one', 'model', folder, { chosen: true }),
    opened('two.safetensors', 'model', handleOf('two.safetensors')),
    opened('vae.safetensors', 'part', handleOf('vae.safetensors', { state: 'prompt', answer: 'granted' })),
    opened('lora.safetensors', 'file', handleOf('lora.safetensors'), { config: '{"r": 4}' }),
    opened('moved.safetensors', 'file', handleOf('moved.safetensors', { gone: true })),
    opened('refused.safetensors', 'model', handleOf('refused.safetensors', { state: 'prompt' })),
    opened('nowhere.safetensors', 'file', null),
  ];
  assert.deepEqual(
    await Promise.all(all.map(needsConsent)),
    all.map(({ name }) => /^vae|^refused/.test(name)),
  );
  const lost = await openAgain(all, (action) => sent.push(action));
  assert.deepEqual(lost, ['moved.safetensors', 'refused.safetensors', 'nowhere.safetensors']);
  const [added, chosen, second, part, dropped] = sent;
  assert.equal(sent.length, 5);
  assert.deepEqual([added.model.name, added.model.kind, chosen.id], ['one', 'folder', added.model.id]);
  assert.deepEqual(
    folderOf(added.model.id).map(({ path }) => path),
    ['model_index.json', 'unet/config.json'],
  );
  assert.deepEqual([second.model.name, second.model.kind], ['two.safetensors', 'file']);
  assert.equal(part.part.name, 'vae.safetensors');
  assert.deepEqual(
    dropped.files.map(({ name }) => name),
    ['lora.safetensors', 'adapter_config.json'],
  );
  assert.equal(await dropped.files[1].text(), '{"r": 4}');

  const state = {
    files: [],
    base: { own: sent.slice(0, 3).flatMap(({ model }) => model ?? []), parts: [part.part], chosen: chosen.id },
  };
  assert.deepEqual(
    openedFiles(state).map(({ name, as, handle, chosen }) => [name, as, handle !== null, chosen]),
    [
      ['one', 'model', true, true],
      ['two.safetensors', 'model', true, false],
      ['vae.safetensors', 'part', true, undefined],
    ],
    'they can be found again once more',
  );
});

it('numbers that nobody has touched follow the next model after a reload too', async () => {
  const page = await openPage();
  const form = { ...page.state().form, steps: 33, guidance: 7 };
  page.send({ type: 'session/restored', form, usual: { steps: 20, guidance: 7 }, rows: [], drawings: [] });
  page.send({ type: 'model/ready', info: { samplers: ['euler'], multiple: 8, width: 64, height: 64 } });
  const { defaults } = page.state().demo.catalogue;
  assert.deepEqual([page.state().form.steps, page.state().form.guidance], [33, defaults.guidance]);
});

it('deployments on one origin have names of their own', () => {
  assert.equal(scopedName('demo', '/'), 'demo');
  assert.equal(scopedName('demo', '/some/path/'), 'demo~some~path');
  assert.notEqual(scopedName('demo', '/a/'), scopedName('demo', '/b/'));
});
