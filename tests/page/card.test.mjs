/** What a card says of a LoRA: the report's words, and those images of this visit in which it alone acts. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { image, openPage, report } from './page.mjs';
const { cardOf } = await import('../../web/card/content.js');
const { wrapped } = await import('../../web/card/image.js');

const own = { name: 'a.safetensors', sha256: 'sha of a.safetensors', strength: 1 };
const other = { name: 'b.safetensors', sha256: 'another', strength: 1 };
let ids = 0;
const drawing = (adapters, more = {}) => ({
  id: ++ids,
  image: image(),
  recipe: { version: 1, prompt: 'cat', seed: 7, steps: 4, ...more, adapters },
  loras: adapters.map(({ name, strength }) => ({ label: name, strength })),
});

async function stateWith(items, grid = null) {
  const page = await openPage();
  const state = page.state();
  return { ...state, history: { ...state.history, items }, grid };
}
const file = report('a.safetensors', {
  algorithms: ['lora'],
  size: 1000,
  metadata: { 'modelspec.title': 'A cat' },
  training: { trigger_words: [{ text: 'ohwx' }, { text: 'cat' }] },
});

it('has the words of the report', async () => {
  const card = cardOf(await stateWith([]), file, '2026-12-01');
  assert.deepEqual([card.name, card.words, card.verdict], ['A cat', ['ohwx', 'cat'], 'A LoRA.']);
  assert.match(card.made, /2026-12-01/);
  assert.deepEqual([card.pair, card.series, card.recipe], [[], [], '']);
});

it('has the last image of it alone, after the one without it of the same recipe', async () => {
  const items = [
    drawing([]),
    drawing([own]),
    drawing([], { seed: 8 }),
    drawing([own], { seed: 8, prompt: 'cat<lora:a:1>' }),
    drawing([own, other], { seed: 8 }),
    drawing([other], { seed: 8 }),
    drawing([own], { seed: 9 }),
  ];
  const { pair, recipe } = cardOf(await stateWith(items), file, '');
  assert.deepEqual(
    pair.map(({ image }) => image),
    [items[2].image, items[3].image],
  );
  assert.deepEqual(
    pair.map(({ caption }) => caption),
    ['without the LoRA', 'with the LoRA, strength 1'],
  );
  assert.match(recipe, /cat.*8/);
  const alone = cardOf(await stateWith([drawing([own]), drawing([], { seed: 8 })]), file, '');
  assert.equal(alone.pair.length, 1, 'none without it');
});

it('has the images of a plot in which it alone acts', async () => {
  const side = (labels) => ({ name: 'x', kind: 'strength:0', ticks: labels.map((label) => ({ value: label, label })) });
  const cells = [drawing([{ ...own, strength: 0 }]), drawing([own]), null, drawing([other])];
  const grid = { title: '', x: side(['0', '1', '2', '3']), y: side(['']), cells };
  const { series } = cardOf(await stateWith([], grid), file, '');
  assert.deepEqual(
    series.map(({ caption }) => caption),
    ['0', '1'],
  );
});

it('breaks lines at spaces, within Chinese and within words that are too long', () => {
  const fits = (line) => line.length <= 6;
  assert.deepEqual(wrapped('one two three', fits), ['one', 'two', 'three']);
  assert.deepEqual(wrapped('an ox is', fits), ['an ox', 'is']);
  assert.deepEqual(wrapped('abcdefghij', fits), ['abcdef', 'ghij']);
  assert.deepEqual(wrapped('一二三四五六七八', fits), ['一二三四五六', '七八']);
  assert.deepEqual(wrapped('', fits), []);
});
