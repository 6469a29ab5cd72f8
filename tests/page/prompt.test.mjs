/** The prompt's keys: attention weights at the selection, and names to complete. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { report } from './page.mjs';
const { completion, reweighted } = await import('../../web/generate/prompt.js');
const { initialState } = await import('../../web/state.js');
const { loraNamed } = await import('../../web/select.js');
const { areParameters, pngOfText } = await import('../../web/files/paste.js');

/** Reads a text with its selection between [ and ], or its cursor at |. */
function at(marked) {
  const text = marked.replace(/[[\]|]/g, '');
  const start = marked.search(/[[|]/);
  return { text, start, end: marked.includes(']') ? marked.indexOf(']') - 1 : start };
}

describe('Ctrl+Up and Ctrl+Down', () => {
  for (const [before, step, after] of [
    ['a re|d cat', 0.1, 'a (red:1.1) cat'],
    ['a [red cat], dog', 0.1, 'a (red cat:1.1), dog'],
    ['a [red ]cat', -0.1, 'a (red:0.9) cat'],
    ['a (re|d:1.1) cat', 0.1, 'a (red:1.2) cat'],
    ['a ([red cat]:1.15)', 0.05, 'a (red cat:1.2)'],
    ['a (r|ed:1.1) cat', -0.1, 'a red cat'],
    ['a ([red] cat:1.2)', 0.1, 'a ((red:1.1) cat:1.2)'],
    ['a cat <lora:i|nk:0.8>', 0.1, 'a cat <lora:ink:0.9>'],
    ['<lora:ink:0.5|>', -0.1, '<lora:ink:0.4>'],
    ['(red:0.0|5)', -0.1, '(red:0)'],
  ])
    it(`${before} by ${step} is ${after}`, () => assert.equal(reweighted(at(before), step).text, after));

  it('keeps the words selected, so that pressing again changes the same weight', () => {
    let edit = at('a re|d cat');
    for (let press = 0; press < 3; press++) edit = reweighted(edit, 0.1);
    assert.equal(edit.text, 'a (red:1.3) cat');
    assert.equal(edit.text.slice(edit.start, edit.end), 'red');
  });

  it('weighs nothing between words', () => assert.equal(reweighted(at('a, |, b'), 0.1), null));
});

describe('completion', () => {
  const entry = (name, kind) => ({ id: name, name, status: 'read', report: report(name, { kind }) });
  const state = (program) => ({
    ...initialState,
    form: { ...initialState.form, program },
    files: [entry('InkStyle.safetensors', 'adapter'), entry('badhands.pt', 'textual_inversion')],
  });
  const names = (text, program = 'a1111') =>
    completion(state(program), text, text.length)?.options.map((option) => option.text) ?? [];

  it('offers LoRAs and embeddings', () => {
    assert.deepEqual(names('a cat, ink'), ['<lora:InkStyle:1>']);
    assert.deepEqual(names('<lora:'), ['<lora:InkStyle:1>']);
    assert.deepEqual(names('badh'), ['badhands']);
    assert.deepEqual(names('badh', 'comfyui'), ['embedding:badhands']);
    assert.deepEqual(names('badhands'), []);
    assert.deepEqual(names('a cat, '), []);
  });

  it('offers no LoRA where prompts cannot mention one', () => assert.deepEqual(names('ink', 'diffusers'), []));

  it('replaces what was typed', () => {
    const text = 'a <lora:in';
    const { from, to } = completion(state('a1111'), text, text.length);
    assert.equal(text.slice(from, to), '<lora:in');
  });
});

describe('pasted text', () => {
  it('is taken for parameters by their last line only', () => {
    assert.ok(areParameters('a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1'));
    for (const text of ['a cat', 'Bread\nSteps: 3, Time: 20 min', 'Steps: many, Seed: 1'])
      assert.ok(!areParameters(text), text);
  });

  it('becomes a PNG with the text', () => {
    const bytes = Buffer.from(pngOfText('parameters', 'ä'));
    assert.equal(bytes.subarray(1, 4).toString(), 'PNG');
    assert.equal(bytes.readUInt32BE(8), Buffer.byteLength('parameters\0ä'));
    assert.equal(bytes.subarray(12, 16).toString(), 'tEXt');
    assert.equal(bytes.subarray(-8, -4).toString(), 'IEND');
  });
});

describe('a LoRA of a prompt', () => {
  const named = (name, trained) => ({
    id: `file:${name}`,
    name,
    report: report(name, { metadata: trained ? { ss_output_name: trained } : {} }),
  });
  const files = [
    named('renamed.safetensors', 'my_style'),
    named('v1.2 (a b)，墨.safetensors'),
    named('Ink.pt', 'renamed'),
  ];
  for (const [name, id] of [
    ['renamed', 'file:renamed.safetensors'],
    ['my_style', 'file:renamed.safetensors'],
    ['My_Style', 'file:renamed.safetensors'],
    ['v1.2 (a b)，墨', 'file:v1.2 (a b)，墨.safetensors'],
    ['renamed.safetensors', 'file:renamed.safetensors'],
    ['ink', 'file:Ink.pt'],
    ['other', ''],
  ])
    it(`${name} is found by its file's name, else by the one that it was trained under`, () =>
      assert.equal(loraNamed({ ...initialState, files }, name), id));
});
