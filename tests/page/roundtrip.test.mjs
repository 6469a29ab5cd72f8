/** Recipe -> form -> recipe: every option of an image comes back from it, on the page as it was. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPage, report } from './page.mjs';
const { FIELDS } = await import('../../web/share/schema.js');
const { NOTHING_SAID, restored } = await import('../../web/share/restore.js');
const { checkedForm } = await import('../../web/form.js');
const { plainRecipe, stackedRecipe } = await import('../../web/recipe.js');

const INFO = {
  name: 'my model',
  samplers: ['ddim', 'euler_a'],
  web_ui_samplers: [],
  schedules: [],
  fresh: ['ddim', 'euler_a'],
  multiple: 8,
  family: 'sd15',
};
const WORDS = {
  id: 'file:1',
  name: 'tired.pt',
  report: report('tired.pt', { kind: 'textual_inversion', sha256: 'a1'.repeat(32) }),
};
const LORA = { id: 'file:2', name: 'ink.safetensors', report: report('ink.safetensors', { sha256: 'b2'.repeat(32) }) };
const BASE = {
  version: 1,
  model: INFO.name,
  adapters: [],
  prompt: 'a cat',
  negative: null,
  seed: 7,
  steps: 30,
  guidance: 6.5,
  sampler: 'ddim',
  width: 512,
  height: 768,
};

/** For each field of a recipe, values other than its usual one, with what else they need. */
const CASES = {
  version: [{}],
  model: [{}],
  adapters: [
    {
      adapters: [
        { name: 'ink.safetensors', sha256: 'b2'.repeat(32), strength: 0.7, text_encoder: 0.2, blocks: 'MID=0' },
      ],
    },
  ],
  prompt: [{ prompt: '(x:1.2),\n日本 <b>' }],
  negative: [{ negative: 'blurry' }, { negative: '', program: 'a1111' }],
  seed: [{ seed: 0 }, { seed: 648312782957426 }, { seed: '18446744073709551615' }],
  steps: [{ steps: 99 }],
  guidance: [{ guidance: 0.7 }],
  sampler: [{ sampler: 'euler_a' }],
  width: [{ width: 64 }],
  height: [{ height: 2048 }],
  schedule: [{ schedule: 'karras' }, { schedule: 'ays_gits', negative: '', program: 'comfyui' }],
  spacing: [{ spacing: 'trailing' }],
  eta: [{ eta: 0 }, { eta: 0.3 }],
  rng: [{ rng: 'philox' }, { rng: 'torch_philox' }],
  program: [
    { program: 'a1111', negative: '' },
    { program: 'comfyui', negative: '' },
  ],
  web_ui: [{ program: 'a1111', negative: '', web_ui: { noise_seed_delta: 31337, quantize: true, s_churn: 0.5 } }],
  variation: [{ program: 'a1111', negative: '', variation: { seed: '18446744073709551615', strength: 0.25 } }],
  seed_resize: [{ program: 'a1111', negative: '', seed_resize: [640, 320] }],
  clip_skip: [{ clip_skip: 1 }],
  emphasis: [{ program: 'a1111', negative: '', emphasis: 'no_norm' }],
  pad_conds: [{ program: 'a1111', negative: '', pad_conds: true }],
  prediction: [{ prediction: 'v_prediction' }],
  zero_snr: [{ zero_snr: true }, { zero_snr: false }],
  guidance_rescale: [{ guidance_rescale: 0.7 }],
  denoise: [{ denoise: 0.35 }],
  masked: [{ denoise: 0.35, masked: true }],
  masked_area: [
    { denoise: 0.35, masked: true, masked_area: { padding: 48, blur: 0 } },
    { program: 'a1111', negative: '', denoise: 0.35, masked: true, masked_area: { blur: 6 } },
  ],
  hires: [
    { hires: { scale: 1.5, denoise: 0.4, upscaler: 'pixels', steps: 12 } },
    { hires: { scale: 2, denoise: 0.7, upscaler: 'latent' } },
  ],
  embeddings: [{ prompt: 'a tired cat', embeddings: [{ name: 'tired.pt', sha256: 'a1'.repeat(32) }] }],
  // A batch is drawn one image after the other, each with the next seed, which is said.
  batch: [],
};

/** The recipe that the page would draw after it has restored one. */
async function again(recipe) {
  const page = await openPage();
  const start = { id: 'image:1', name: 'a.png', url: '' };
  const base = { ...page.state().base, chosen: 'own', own: [{ id: 'own', name: INFO.name, kind: 'file' }], info: INFO };
  const state = {
    ...page.state(),
    base,
    files: [WORDS, LORA],
    start: recipe.denoise === undefined ? null : start,
    mask: recipe.masked ? start : null,
  };
  const { change, model, remark } = restored(state, 'a.png', { ...NOTHING_SAID, recipe });
  assert.equal(model, 'own');
  const expected = recipe.denoise === undefined ? [] : [/start|image/i];
  assert.equal(remark.details.length, expected.length, remark.details.join());
  const form = checkedForm({ ...state.form, ...change }, 8);
  const rows = form.loras.filter(({ id }) => id);
  const adapters = rows.map(({ strength, textEncoder, blocks }) => ({
    name: LORA.name,
    sha256: LORA.report.sha256,
    strength,
    text_encoder: textEncoder,
    blocks,
  }));
  return stackedRecipe({ ...state, form }, plainRecipe({ ...state, form }), adapters);
}

describe('a recipe comes back through the form', () => {
  it('in all its fields', () => assert.deepEqual(Object.keys(CASES).sort(), Object.keys(FIELDS).sort()));
  for (const [field, cases] of Object.entries(CASES)) {
    for (const change of cases) {
      it(`with ${field}: ${JSON.stringify(change)}`, async () => {
        const recipe = { ...BASE, ...change };
        assert.deepEqual(await again(recipe), recipe);
      });
    }
  }
});
