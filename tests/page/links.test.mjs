/** The one door for recipes from outside: whatever a link holds, the form is valid or the page says a sentence. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { file, openPage, report } from './page.mjs';
const { parsedLink, recipeLink } = await import('../../web/share/link.js');
const { checkedRecipe } = await import('../../web/share/schema.js');
const { NOTHING_SAID, restored } = await import('../../web/share/restore.js');
const { checkedForm } = await import('../../web/form.js');
const { plainRecipe } = await import('../../web/recipe.js');

const FORM = {
  text: ['prompt', 'negative', 'sampler'],
  number: {
    steps: [1, 100],
    guidance: [0, 30],
    width: [1, 2048],
    height: [1, 2048],
    clipSkip: [1, 12],
    denoise: [0, 1],
    hiresScale: [1.05, 4],
    hiresDenoise: [0, 1],
    hiresSteps: [0, 100],
    batch: [1, 100],
  },
  choice: {
    schedule:
      /^(|timesteps|karras|exponential|sgm_uniform|simple|beta|ays|polyexponential|kl_optimal|ddim_uniform|linear_quadratic)$/,
    spacing: /^(|leading|linspace|trailing)$/,
    rng: /^(torch|philox)$/,
    program: /^(diffusers|a1111|comfyui)$/,
    hires: /^(|latent|pixels)$/,
    seed: /^\d+$/,
  },
};

/** Fails for a form that the page cannot draw or the engine does not take. */
function valid(form, why) {
  for (const name of FORM.text) assert.equal(typeof form[name], 'string', `${name} of ${why}`);
  for (const [name, [least, most]] of Object.entries(FORM.number))
    assert.ok(form[name] >= least && form[name] <= most, `${name} ${form[name]} of ${why}`);
  for (const [name, pattern] of Object.entries(FORM.choice))
    assert.match(String(form[name]), pattern, `${name} of ${why}`);
  assert.ok(form.eta === null || (form.eta >= 0 && form.eta <= 1), why);
  for (const { id, on, strength, textEncoder, blocks } of form.loras) {
    assert.ok(typeof id === 'string' && typeof on === 'boolean' && typeof blocks === 'string', why);
    for (const number of [strength, textEncoder ?? 0])
      assert.ok(Math.abs(number) <= 20, `strength ${number} of ${why}`);
  }
}

/** A generator of the same pseudo-random numbers in every run (mulberry32). */
function random(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return { next, of: (all) => all[Math.floor(next() * all.length)] };
}

const KEYS = [
  'model',
  'prompt',
  'negative',
  'seed',
  'steps',
  'guidance',
  'sampler',
  'width',
  'height',
  'schedule',
  'spacing',
  'rng',
  'program',
  'syntax',
  'clip_skip',
  'batch',
  'eta',
  'denoise',
  'masked',
  'hires',
  'embeddings',
  'emphasis',
  'web_ui',
  'lora',
  'blocks',
  'from',
  'adapters',
  'version',
  '__proto__',
  'constructor',
  'toString',
  'look',
  'x',
];
const VALUES = [
  '',
  '0',
  '-1',
  '1e999',
  'NaN',
  'null',
  'true',
  '5',
  '7.5',
  '1e6',
  '18446744073709551616',
  '%',
  '%E0%A4%A',
  'a cat',
  '<b>',
  '[]',
  '{}',
  '[null]',
  '[[]]',
  '"x"',
  '{"upscaler":"evil"}',
  '{"scale":1.5,"denoise":0.5}',
  '{"scale":"9"}',
  '{"__proto__":{"a":1}}',
  '[{"name":5}]',
  '[{"name":"a","sha256":""}]',
  'a.safetensors:0.5',
  'a:1e9/NaN:00',
  'duotone.safetensors:0.5',
  ':::',
  'https://x.example/%25E0',
  'http://[::1]/a',
  'karras',
  'a1111',
  'euler',
  'x'.repeat(30_000),
  '\u0000',
  '💥',
];

describe('any link', () => {
  it('gives a valid form or a sentence', async () => {
    const page = await openPage();
    const state = page.state();
    const { next, of } = random(20_260_730);
    let recipes = 0;
    for (let turn = 0; turn < 4000; turn++) {
      const pairs = Array.from(
        { length: Math.floor(next() * 7) },
        () => `${of(KEYS)}=${next() < 0.7 ? encodeURIComponent(of(VALUES)) : of(VALUES)}`,
      );
      const hash = `${of(['#v1&', '#v1&', '#v1&', '#v2&', '#', '#v1'])}${pairs.join('&')}`;
      const link = parsedLink(hash);
      if (!link || !('recipe' in link)) continue;
      recipes++;
      const found = restored(state, 'the link', { ...NOTHING_SAID, recipe: link.recipe });
      valid(checkedForm({ ...state.form, ...found.change }, 8), hash.slice(0, 300));
      assert.ok(found.remark.title && found.remark.details.every((detail) => typeof detail === 'string'));
    }
    assert.ok(recipes > 1500, `${recipes} recipes`);
  });

  for (const [hash, said] of [
    ['#v1&hires=5', /hires/],
    ['#v1&hires={"upscaler":"evil"}', /evil/],
    ['#v1&embeddings=5', /embeddings/],
    ['#v1&syntax=foo', /foo/],
    ['#v1&rng=bar', /bar/],
    ['#v1&sampler=<b>', /<b>/],
    ['#v1&steps=many', /many/],
    ['#v1&seed=soon', /soon/],
    ['#v1&width=-8', /-8/],
  ]) {
    it(`${hash} is valid, and says what is ignored`, async () => {
      const page = await openPage();
      const link = parsedLink(hash);
      assert.match(link.unusable.map(({ name, value }) => `${name} ${value}`).join(), said);
      valid(
        checkedForm(
          {
            ...page.state().form,
            ...restored(page.state(), 'the link', { ...NOTHING_SAID, recipe: link.recipe }).change,
          },
          8,
        ),
        hash,
      );
    });
  }

  it('names an upscaler that is not open, and interpolates pixels until it is', async () => {
    const { state } = await openPage();
    const hires = { scale: 2, denoise: 0.4, upscaler: 'pixels', network: '4x-UltraSharp' };
    const link = parsedLink(recipeLink({ ...RECIPE, adapters: [], hires }));
    assert.deepEqual([link.recipe.hires, link.unusable], [hires, []]);
    const base = { ...state(), base: { ...state().base, info: { name: 'Tiny', fresh: [], samplers: ['euler'] } } };
    const upscaler = {
      name: '4x-UltraSharp.pth',
      status: 'read',
      report: report('4x-UltraSharp.pth', { kind: 'upscaler' }),
    };
    for (const files of [[], [{ id: 'up', ...upscaler }]]) {
      const found = restored({ ...base, files }, 'the link', { ...NOTHING_SAID, recipe: link.recipe });
      const said = found.remark.details.filter((detail) => detail.includes('4x-UltraSharp'));
      const drawn = plainRecipe({ ...base, files, form: { ...base.form, ...found.change } }).hires;
      assert.deepEqual(
        [said.length, drawn.upscaler, drawn.network],
        files.length ? [0, 'pixels', '4x-UltraSharp'] : [1, 'pixels', undefined],
      );
    }
  });

  it('is total for what is no recipe at all', () => {
    for (const value of [null, undefined, 5, 'x', [], [1], () => {}])
      assert.equal(checkedRecipe(value).recipe.steps, 20);
  });

  it('to a broken address throws nothing', () =>
    assert.equal(parsedLink('#v1&look=https://x.y/%25E0').look.address, 'https://x.y/%E0'));
});

/** Opens a page at a fragment. */
async function at(hash) {
  location.hash = hash;
  try {
    return await openPage();
  } finally {
    location.hash = '';
  }
}

const RECIPE = {
  version: 1,
  model: 'Tiny emoji SD',
  prompt: 'a cat',
  negative: null,
  seed: 5,
  steps: 4,
  guidance: 5,
  sampler: 'euler',
  width: 64,
  height: 64,
};
const LORA = { name: 'mine.safetensors', sha256: '', strength: 0.5 };

/** Opens a page at a link that lacks its LoRA. */
async function pending(more = {}) {
  const page = await at(recipeLink({ ...RECIPE, adapters: [{ ...LORA, ...more }] }));
  await page.until('the link to wait', ({ link }) => link);
  return page;
}

/** Drops the LoRA that the link waits for. */
async function bring(page) {
  page.send({ type: 'files/dropped', files: [file('mine.safetensors')], folders: [], place: '' });
  await page.answer('inspect', { report: report('mine.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0]?.status === 'read');
  await page.rest();
}

describe('a link', () => {
  it('fills the form and waits for Generate', async () => {
    const page = await at(recipeLink({ ...RECIPE, adapters: [] }));
    await page.until('the prompt', ({ form }) => form.prompt === 'a cat');
    await page.rest();
    assert.equal(page.state().link, null);
    assert.ok(!page.types().includes('run/started') && !page.engine.calls.includes('generate'));
  });

  it('takes up the LoRA that it waits for, once', async () => {
    const page = await pending();
    await bring(page);
    const { form, files, link } = page.state();
    assert.equal(form.loras[0].id, files[0].id);
    assert.equal(form.loras[0].strength, 0.5);
    assert.equal(link, null);
    page.send({ type: 'form/changed', change: { prompt: 'my own' } });
    page.send({ type: 'files/read', id: files[0].id, report: files[0].report, fixes: [] });
    await page.rest();
    assert.equal(page.state().form.prompt, 'my own');
  });

  it('is never applied over own edits, but when it is asked to', async () => {
    const page = await pending();
    page.send({ type: 'form/changed', change: { prompt: 'my own', seed: 9 } });
    await bring(page);
    assert.equal(page.state().form.prompt, 'my own');
    assert.ok(page.state().link.edited);
    page.send({ type: 'link/apply' });
    await page.until('the link to be applied', ({ link }) => !link);
    assert.equal(page.state().form.prompt, 'a cat');
  });

  it('can be forgotten', async () => {
    const page = await pending();
    page.send({ type: 'link/forget' });
    await bring(page);
    assert.equal(page.state().form.prompt, 'a cat', 'what it filled in stays');
    assert.equal(page.state().form.loras[0].strength, 1);
    assert.equal(page.state().link, null);
  });

  it('asks for at most eight addresses', async () => {
    const adapters = Array.from({ length: 60 }, (_, n) => ({
      ...LORA,
      name: `${n}.safetensors`,
      address: `https://host${n}.example/${n}.safetensors`,
    }));
    const page = await at(recipeLink({ ...RECIPE, adapters }));
    await page.until('the question', ({ asked }) => asked);
    assert.equal(page.state().asked.addresses.length, 8);
  });

  it('that cannot be followed says so', async () => {
    const { fetch } = globalThis;
    globalThis.fetch = async (address) =>
      String(address).includes('duotone') ? Promise.reject(new TypeError('offline')) : fetch(address);
    try {
      const page = await at('#v1&lora=duotone.safetensors');
      await page.until('a sentence', ({ notices }) => notices.some(({ message }) => message.includes('duotone')));
    } finally {
      globalThis.fetch = fetch;
    }
  });
});
