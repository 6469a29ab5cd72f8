/** Which files are taken for distilled ones, and what is offered for them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FIRST_FORM, EMPTY_ROW } from '../../web/form.js';
import { fewSteps, fewStepsAdvice } from '../../web/generate/few-steps.js';
import { modelSizes } from '../../web/generate/sizes.js';

test('published files are known by their names', () => {
  const expected = {
    'sdxl_lightning_4step_lora.safetensors': ['Lightning', 'euler', 4, 1],
    'sdxl_lightning_8step_lora.safetensors': ['Lightning', 'euler', 8, 1],
    'Hyper-SDXL-8steps-lora.safetensors': ['Hyper-SD', 'ddim', 8, 1],
    'Hyper-SDXL-12steps-CFG-lora.safetensors': ['Hyper-SD CFG', 'ddim', 12, 5],
    'Hyper-SD15-4steps-lora.safetensors': ['Hyper-SD', 'ddim', 4, 1],
    'dmd2_sdxl_4step_lora_fp16.safetensors': ['DMD2', 'lcm', 4, 1],
    'lcm-lora-sdxl.safetensors': ['LCM', 'lcm', 4, 1],
    'LCM_LoRA_Weights_SD15.safetensors': ['LCM', 'lcm', 4, 1],
    'tcd-sdxl-lora.safetensors': ['TCD', 'tcd', 4, 1],
    'sd_xl_turbo_lora_v1.safetensors': ['Turbo', 'euler_a', 4, 1],
  };
  for (const [file, [method, sampler, steps, guidance]] of Object.entries(expected))
    assert.deepEqual(fewSteps(file, 'lora'), { method, sampler, steps, guidance }, file);
});

test('a LoRA that shows lightning or a Turbo is none', () => {
  for (const file of [
    'lightning-mage-v2.safetensors',
    'porsche_911_turbo.safetensors',
    'hyperrealism.safetensors',
    'falcm.pt',
  ])
    assert.equal(fewSteps(file, 'lora'), null, file);
  assert.equal(fewSteps('dreamshaperXL_lightningDPMSDE.safetensors', 'model')?.method, 'Lightning');
  assert.equal(fewSteps('turbovisionxl.safetensors', 'model')?.method, 'Turbo');
  assert.equal(fewSteps('juggernautXL_v9.safetensors', 'model'), null);
});

/** A state with a LoRA in the form. */
function state(form, samplers = ['euler', 'ddim']) {
  return {
    form: { ...FIRST_FORM, loras: [{ ...EMPTY_ROW, id: 'a' }], ...form },
    files: [{ id: 'a', name: 'sdxl_lightning_8step_lora.safetensors' }],
    base: { own: [], chosen: 'demo', info: { samplers } },
  };
}

test('the numbers are offered until the form has them', () => {
  const { change, file } = fewStepsAdvice(state({ steps: 20 }));
  assert.equal(file, 'sdxl_lightning_8step_lora.safetensors');
  assert.deepEqual(change, { steps: 8, guidance: 1, sampler: 'euler', spacing: 'trailing' });
  assert.equal(fewStepsAdvice(state(change)), null);
  const ofA1111 = fewStepsAdvice(state({ program: 'a1111' })).change;
  assert.deepEqual(ofA1111, { steps: 8, guidance: 1, sampler: 'euler', schedule: 'sgm_uniform' });
  assert.equal(fewStepsAdvice(state({}, ['ddim'])).change.sampler, undefined);
  const off = { loras: [{ ...EMPTY_ROW, id: 'a', on: false }] };
  assert.equal(fewStepsAdvice(state(off)), null);
});

test('sizes are those that the family was trained on', () => {
  const pixels = modelSizes({ family: 'sdxl', width: 1024 }).map(([width, height]) => width * height);
  assert.ok(pixels.length > 6 && pixels.every((count) => count > 0.9e6 && count <= 1.05e6));
  assert.deepEqual(modelSizes({ family: 'sdxl', width: 64 }), []);
  assert.ok(modelSizes({ family: 'sd15', width: 512 }).every((size) => size.every((pixels) => pixels % 64 === 0)));
});
