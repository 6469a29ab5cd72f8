/** The base model in the state: its parts, and what happens to a model that does not open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cardMemory, memoryOfTwoWorkers } from '../../web/device/memory.js';
import { reduceDevice } from '../../web/device/state.js';
import { reduceBase } from '../../web/generate/base-state.js';
import { remember, saidOf } from '../../web/generate/known-models.js';
import { reduceForm } from '../../web/generate/state.js';
import { modelKey } from '../../web/recipe.js';
import { openPage } from './page.mjs';

const { state } = await openPage();

const OWN = { id: 'model:1', name: 'unet.gguf', kind: 'file' };
const PART = { id: 'part:1', name: 'vae.safetensors' };

/** A state whose chosen model is the user's own file. */
function chosen() {
  const added = reduceBase(state(), { type: 'model/added', model: OWN });
  return reduceBase(added, { type: 'model/chosen', id: OWN.id });
}

const failed = (kind) => ({ type: 'model/failed', error: { kind, message: 'no VAE' } });

test('a model that lacks files stays chosen until they come', () => {
  const lacking = reduceBase(chosen(), failed('parts'));
  assert.equal(lacking.base.chosen, OWN.id);
  assert.equal(lacking.base.lacks, true);
  assert.match(lacking.remark.title, /unet\.gguf/);
  const given = reduceBase(lacking, { type: 'part/added', part: PART });
  assert.deepEqual([given.base.lacks, given.base.parts, given.remark], [false, [PART], null]);
  assert.notEqual(modelKey(given), modelKey(lacking));
  const removed = reduceBase(given, { type: 'part/removed', id: PART.id });
  assert.equal(modelKey(removed), modelKey(lacking));
});

test('a file that does not belong to the model is let go before the model', () => {
  const given = reduceBase(chosen(), { type: 'part/added', part: PART });
  const first = reduceBase(given, failed('model'));
  assert.deepEqual([first.base.chosen, first.base.parts], [OWN.id, []]);
  const second = reduceBase(first, failed('model'));
  assert.equal(second.base.chosen, 'demo');
});

test("another model does not get the last one's files", () => {
  const given = reduceBase(chosen(), { type: 'part/added', part: PART });
  assert.deepEqual(reduceBase(given, { type: 'model/chosen', id: 'demo' }).base.parts, []);
});

const INFO = { samplers: ['euler'], multiple: 8, width: 512, height: 512 };
const ready = (state, said) => reduceBase(state, { type: 'model/ready', info: INFO, said });
const UNSAID = { prediction: '', zeroSnr: '' };

test('what the user says of a model does not go over to the next, and comes back with it', () => {
  const said = (state, change) =>
    reduceForm(reduceBase(state, { type: 'form/changed', change }), { type: 'form/changed', change });
  const opened = said(ready(chosen(), UNSAID), { prediction: 'v_prediction', zeroSnr: 'on' });
  assert.equal(opened.form.prediction, 'v_prediction');
  const next = ready(reduceBase(opened, { type: 'model/chosen', id: 'demo' }), UNSAID);
  assert.deepEqual([next.form.prediction, next.form.zeroSnr], ['', '']);
  const again = ready(reduceBase(next, { type: 'model/chosen', id: OWN.id }), {
    prediction: 'v_prediction',
    zeroSnr: 'on',
  });
  assert.deepEqual([again.form.prediction, again.form.zeroSnr], ['v_prediction', 'on']);
});

test('what an image says of its model stays while the model is opened', () => {
  const restored = { ...chosen(), form: { ...chosen().form, prediction: 'sample' } };
  assert.equal(ready(restored, UNSAID).form.prediction, 'sample');
});

test('what was said of models is kept by their fingerprints', () => {
  const stored = new Map();
  const localStorage = {
    getItem: (key) => stored.get(key) ?? null,
    setItem: (key, value) => void stored.set(key, value),
  };
  Object.assign(globalThis, { localStorage });
  assert.deepEqual(saidOf('a1'), UNSAID);
  remember('a1', { prediction: 'v_prediction', zeroSnr: '' });
  remember('b2', { prediction: '', zeroSnr: 'on' });
  assert.deepEqual(saidOf('a1'), { prediction: 'v_prediction', zeroSnr: '' });
  remember('a1', UNSAID);
  assert.deepEqual(saidOf('a1'), UNSAID);
  assert.deepEqual(saidOf('b2'), { prediction: '', zeroSnr: 'on' });
});

test('weights are chosen for own models only, and the model is opened again', () => {
  const own = reduceDevice(chosen(), { type: 'weights/chosen', weights: 'q8' });
  assert.notEqual(modelKey(own), modelKey(chosen()));
  const demo = reduceBase(own, { type: 'model/chosen', id: 'demo' });
  assert.equal(modelKey(demo), modelKey(state()));
});

const GIB = 2 ** 30;
const card = (vendor, architecture, gigabytes) =>
  cardMemory({ vendor, architecture, maxBufferSize: 2 * GIB, gigabytes });

test('the memory of a card that shares the computer’s is half of it, of others it is assumed', () => {
  assert.deepEqual(card('intel', 'gen-12lp', 16), { bytes: 8 * GIB, from: 'computer' });
  assert.deepEqual(card('apple', 'metal-3', 2), { bytes: 2 * GIB, from: 'computer' });
  assert.deepEqual(card('apple', 'metal-3', undefined), { bytes: 4 * GIB, from: 'nothing' });
  for (const [vendor, architecture] of [
    ['nvidia', 'ampere'],
    ['intel', 'xe-2hpg'],
    ['', ''],
  ])
    assert.deepEqual(card(vendor, architecture, 32), { bytes: 6 * GIB, from: 'nothing' });
});

test('two workers may take half of the computer’s memory, and need two cores', () => {
  assert.equal(memoryOfTwoWorkers({ cores: 2, gigabytes: 16 }), 8 * GIB);
  assert.equal(memoryOfTwoWorkers({ cores: 8, gigabytes: undefined }), 4 * GIB);
  assert.equal(memoryOfTwoWorkers({ cores: 1, gigabytes: 16 }), undefined);
});
