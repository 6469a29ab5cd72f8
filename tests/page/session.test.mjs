/** Work survives a reload: what is kept of the form is checked, and files that come back take their rows again. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { file, image, openPage, report } from './page.mjs';
const { FIRST_FORM, storedForm } = await import('../../web/form.js');
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
  page.send({ type: 'files/dropped', files: [file('mine.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('mine.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0]?.status === 'read');
  const { form, files, session } = page.state();
  const mine = form.loras.find(({ id }) => id === files[0].id);
  assert.deepEqual([mine.strength, mine.blocks], [0.4, 'MID=0']);
  assert.equal(form.prompt, 'a dog');
  assert.deepEqual(session.rows, []);
});

it('deployments on one origin have names of their own', () => {
  assert.equal(scopedName('demo', '/'), 'demo');
  assert.equal(scopedName('demo', '/some/path/'), 'demo~some~path');
  assert.notEqual(scopedName('demo', '/a/'), scopedName('demo', '/b/'));
});
