/**
 * The engine's sentences in the page's languages: every id is there, with the same values, and is said as the language
 * says it.
 */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import deWords from '../../web/words/de.js';
import de from '../../web/words/report.de.js';
import zh from '../../web/words/report.zh.js';
import { asError } from '../../web/core/errors.js';
import { familyName, isTranslated, say, useLanguage } from '../../web/words.js';

const en = JSON.parse(await readFile(new URL('../../crate/src/sentence/en.json', import.meta.url), 'utf8'));
const forms = (text) => (typeof text === 'string' ? [text] : Object.values(text));
/** Returns the distinct placeholders and the code of a text. */
const places = (text) =>
  [...new Set([...(text.match(/\{\w+\}/g) ?? []), ...text.split('`').filter((_, i) => i % 2)])].sort();

for (const [name, texts] of Object.entries({ de, zh })) {
  test(`every sentence has a text in ${name}, with the same values`, () => {
    assert.deepEqual(Object.keys(texts), Object.keys(en));
    for (const [id, text] of Object.entries(texts)) {
      for (const form of forms(text)) assert.deepEqual(places(form), places(forms(en[id]).at(-1)), `${id}: ${form}`);
      assert.ok(id.startsWith('list.') || forms(text).every((form) => form.trim()), id);
    }
  });
}

test('the forms of an English text have the same values, with n', () => {
  for (const [id, text] of Object.entries(en)) {
    const [one, other = one] = forms(text);
    assert.deepEqual(places(one), places(other), id);
    if (one !== other) assert.ok(other.includes('{n}'), id);
  }
  assert.deepEqual(
    Object.keys(en).filter((id) => id in deWords),
    [],
    'an id is a key of the page',
  );
});

test('a sentence is said in the language of the page', async () => {
  const layers = (n) => ({ id: 'health.outliers', values: { n, layer: 'a.b', times: 40 }, text: 'English' });
  const list = {
    id: 'verdict.changes',
    values: {
      items: [
        { id: 'layers.unet', values: { n: 1200 }, text: '' },
        { id: 'layers.model', values: { n: 1 }, text: '' },
      ],
    },
    text: '',
  };
  const unknown = { id: 'of.a.later.version', values: {}, text: 'Unknown here.' };
  assert.equal(say(layers(2)), 'English');
  await useLanguage('de');
  assert.match(say(layers(1)), /^1 Schicht ist weit stärker.*a\.b mit dem 40-Fachen/);
  assert.match(say(layers(2)), /^2 Schichten sind/);
  assert.equal(say(list), ': ändert 1.200 UNet-Schichten und 1 Schicht');
  assert.match(say({ id: 'health.strong', values: { times: 2.5, strength: 0.4 }, text: '' }), /2,5.*0,4/);
  assert.equal(say({ id: 'algorithm.full', values: {}, text: 'full diff' }), 'Full Diff');
  assert.equal(say(unknown), 'Unknown here.');
  assert.deepEqual([isTranslated(unknown), isTranslated(list)], [false, true]);
  await useLanguage('zh');
  assert.equal(say(list), '：修改 1,200 个 UNet 层、1 层');
});

test('models whose names have words, and errors of edits and images, are said in the language of the page', async () => {
  const anima = { label: 'Anima with 40 blocks', others: [{ label: 'Cosmos-Predict2 2B' }] };
  const nothing = {
    kind: 'edit',
    message: 'The result would be empty.',
    sentence: { id: 'edit.nothing', values: {}, text: '' },
  };
  assert.deepEqual(asError(nothing), nothing);
  assert.equal(asError(new Error('no such file')).sentence, undefined);
  const part = (id, values) => ({ id, values, text: '' });
  const parts = [part('image.part_encoder', { name: 'CLIP-L' }), part('image.part_vae', {})];
  const missing = part('image.missing_parts', { file: 'a.gguf', base: 'Stable Diffusion 1.x', parts });
  await useLanguage('de');
  assert.match(say(missing), /aber es fehlen: Text-Encoder CLIP-L, VAE\./);
  assert.equal(familyName(anima), 'Anima mit 40 Blöcken / Cosmos-Predict2 2B');
  assert.equal(familyName({ label: 'Flux.1 / an unknown model' }), 'Flux.1 / ein unbekanntes Modell');
  assert.equal(say(asError(nothing).sentence), 'Das Ergebnis wäre leer.');
  await useLanguage('en');
  assert.equal(familyName(anima), 'Anima with 40 blocks / Cosmos-Predict2 2B');
});
