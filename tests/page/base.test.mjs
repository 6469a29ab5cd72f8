/** The base model in the state: its parts, and what happens to a model that does not open. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reduceBase } from '../../web/generate/base-state.js';
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
