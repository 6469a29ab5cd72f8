/** Each option is a row: the form draws, checks, stores, writes, links, restores and varies it by that row alone. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPage, written } from './page.mjs';
const { OPTIONS, ROWS, choicesOf, isValue, readOptions, writtenOptions } =
  await import('../../web/generate/options.js');
const { FIRST_FORM, checkedForm, storedForm } = await import('../../web/form.js');
const { formView } = await import('../../web/generate/views/form.js');
const { MOST_CELLS, axisKinds, freshAxis, notFound, plannedGrid, ticksOf } = await import('../../web/grid.js');
const { t } = await import('../../web/words.js');
const { parsedLink, recipeLink } = await import('../../web/share/link.js');
const { USUAL } = await import('../../web/share/schema.js');

const INFO = {
  ...{ name: 'my model', family: 'sd15', multiple: 8, width: 512 },
  ...{ samplers: ['euler_a', 'ddim', 'tcd'], web_ui_samplers: ['tcd'], fresh: ['euler_a', 'ddim'] },
  schedules: [
    { name: 'karras', label: 'Karras' },
    { name: 'ays_gits', label: 'AYS GITS', is_web_ui_only: true },
  ],
};

/** A form in which all options are there, none at its first value. */
const OTHERS = {
  ...{ prompt: 'a cat', negative: 'blurry', width: 640, height: 384, seed: '18446744073709551615', steps: 31 },
  ...{ guidance: 6.5, sampler: 'euler_a', batch: 3, denoise: 0.35, schedule: 'karras', spacing: 'trailing' },
  ...{ rng: 'philox', program: 'a1111', eta: 0.25, prediction: 'v_prediction', zeroSnr: 'off', guidanceRescale: 0.7 },
  ...{ emphasis: 'no_norm', padConds: true, webUi: { s_churn: 0.5 }, variation: { seed: 4, strength: 0.5 } },
  ...{ seedResize: [640, 320], hires: 'pixels', hiresScale: 2, hiresDenoise: 0.4, hiresSteps: 12, preview: false },
  ...{ clipSkip: 2, live: true, onlyMasked: true, maskPadding: 48, maskBlur: 8 },
};

/** The state with a model of the user's own, an image to start from with a mask, and this form. */
async function stateWith(form) {
  const { state } = await openPage();
  const base = { ...state().base, chosen: 'own', own: [{ id: 'own', name: INFO.name, kind: 'file' }], info: INFO };
  const start = { id: 'image:1', name: 'a.png', url: '' };
  return { ...state(), base, start, mask: start, form: { ...FIRST_FORM, ...form } };
}

it('each has another value in these tests', () => {
  assert.deepEqual(Object.keys(OTHERS).sort(), Object.keys(OPTIONS).sort());
  for (const { id, first } of ROWS) assert.notDeepEqual(OTHERS[id], first, id);
});

describe('an option', () => {
  it('has its first value in a new form, and a stored one comes back', () => {
    assert.deepEqual(checkedForm(FIRST_FORM, 8), FIRST_FORM);
    assert.deepEqual(storedForm(OTHERS), { ...FIRST_FORM, ...OTHERS });
  });

  for (const { id, first, min, max, choices } of ROWS)
    it(`${id} is stored only as what it can be`, () => {
      const wrong = [[], () => {}, undefined, Symbol('x'), ...(typeof first === 'string' ? [5, {}] : ['nothing'])];
      for (const value of wrong) if (id !== 'seed') assert.deepEqual(storedForm({ [id]: value })[id], first);
      if (choices && typeof choices !== 'function') assert.equal(storedForm({ [id]: 'evil' })[id], first);
      if (typeof max !== 'number') return;
      assert.equal(checkedForm({ ...FIRST_FORM, [id]: 1e9 }, 8)[id], max);
      assert.equal(checkedForm({ ...FIRST_FORM, [id]: -1e9 }, 8)[id], min);
      assert.equal(checkedForm({ ...FIRST_FORM, [id]: NaN }, 8)[id], min);
    });

  it('has a control with its value in its part of the form', async () => {
    const state = await stateWith(OTHERS);
    const shown = written(formView(state, () => {}));
    for (const row of ROWS.filter(({ place }) => place)) {
      const { id, step, label, choices } = row;
      if (id === 'webUi') continue;
      assert.match(shown, new RegExp(`id="?${id}\\b`), id);
      assert.ok(shown.includes(t(label)), id);
      if (step !== undefined) assert.match(shown, new RegExp(`id="?${id}\\b[^]*?value="?${OTHERS[id]}\\b`), id);
      if (choices)
        assert.ok(
          choicesOf(row, state).some(([value]) => value === OTHERS[id]),
          id,
        );
    }
    assert.match(shown, /s_churn: 0.5, variation: 4 × 0.5, seed_resize: 640×320/);
  });

  it('is not mentioned at its first value, but what recipes need', async () => {
    const fields = Object.keys(writtenOptions(await stateWith({})));
    const needed = ROWS.filter((row) => row.needed).map(({ field }) => field);
    assert.deepEqual(fields.sort(), [...needed, 'negative'].sort());
  });

  it('comes back from the recipe, through a link too', async () => {
    const recipe = writtenOptions(await stateWith(OTHERS));
    const [ours, pages] = [{ batch: 1, preview: true, live: false }, { ...OTHERS }];
    const fields = ROWS.flatMap(({ field }) => field ?? []);
    assert.deepEqual(Object.keys(recipe).sort(), fields.sort());
    const { recipe: linked, unusable } = parsedLink(recipeLink({ ...USUAL, ...recipe, adapters: [] }));
    assert.deepEqual(unusable, []);
    for (const said of [recipe, linked])
      assert.deepEqual({ ...FIRST_FORM, ...readOptions(said), ...ours }, { ...FIRST_FORM, ...pages, ...ours });
  });

  it('that a draft does not say stays where recipes need it, and is the first one elsewhere', () => {
    const form = { ...OTHERS, ...readOptions({ prompt: 'x', program: 'comfyui', hires: null, eta: null }) };
    assert.deepEqual([form.steps, form.width, form.denoise], [31, 640, 0.35]);
    assert.deepEqual([form.prompt, form.program, form.hires, form.eta, form.schedule], ['x', 'comfyui', '', null, '']);
    assert.deepEqual([form.webUi, form.guidanceRescale, form.clipSkip], [null, 0, 1]);
  });
});

describe('a grid', () => {
  for (const { id } of ROWS.filter(({ axis }) => axis))
    it(`varies ${id}, each image with another recipe`, async () => {
      const state = await stateWith(OTHERS);
      assert.ok(axisKinds(state).some(([kind]) => kind === id));
      const { grid, forms } = plannedGrid({ ...state, axes: { x: freshAxis(state, id), y: freshAxis(state, 'none') } });
      const recipes = new Set(forms.map((form) => JSON.stringify(writtenOptions({ ...state, form }))));
      assert.ok(recipes.size > 1, grid.x.ticks.map(({ label }) => label).join());
      assert.equal(recipes.size, grid.x.ticks.length);
      for (const form of forms) {
        assert.deepEqual(checkedForm(form, 8), form);
        assert.ok(
          isValue(
            ROWS.find((row) => row.id === id),
            form[id],
          ),
        );
      }
    });

  it('replaces a text of the prompts, and does nothing if they do not have it', async () => {
    const state = await stateWith({ prompt: 'a cat, cats $&', negative: 'no cat' });
    const axis = freshAxis(state, 'search');
    assert.equal(axis.text, 'a cat');
    const x = { ...axis, text: 'cat, dog $1, fox' };
    const { grid, forms } = plannedGrid({ ...state, axes: { x, y: freshAxis(state, 'none') } });
    assert.deepEqual(
      grid.x.ticks.map(({ label }) => label),
      ['cat', 'dog $1', 'fox'],
    );
    assert.deepEqual([forms[0].prompt, forms[1].prompt], ['a cat, cats $&', 'a dog $1, dog $1s $&']);
    assert.deepEqual([forms[2].prompt, forms[2].negative], ['a fox, foxs $&', 'no fox']);
    assert.deepEqual([notFound(state, x), notFound(state, { ...x, text: 'bird, x' })], ['', 'bird']);
  });

  for (const [text, values] of [
    ['4, 8;16 24', [4, 8, 16, 24]],
    ['1-5', [1, 2, 3, 4, 5]],
    ['5-3', [5, 4, 3]],
    ['1-10 (+3)', [1, 4, 7, 10]],
    ['2-3 [3], 9', [2, 2.5, 3, 9]],
    ['-1, −0.5, -1-1', [-1, -0.5, 0, 1]],
    ['1-2 [1]', [1]],
    ['x, -, 1-', []],
  ])
    it(`reads "${text}" as A1111's plot does`, async () => {
      const state = await stateWith({});
      const kind = text.startsWith('-') ? 'strength:0' : 'guidance';
      const ticks = ticksOf(state, { kind, text, chosen: [] });
      assert.deepEqual(
        ticks.map(({ value }) => value),
        values,
      );
      assert.ok(ticksOf(state, { kind: 'steps', text: '1-1000000000', chosen: [] }).length <= MOST_CELLS + 1);
    });

  it('leaves out what is not there', async () => {
    const state = { ...(await stateWith({ sampler: 'tcd' })), start: null };
    const kinds = axisKinds(state).map(([kind]) => kind);
    assert.deepEqual([kinds.includes('denoise'), kinds.includes('eta'), kinds.includes('steps')], [false, false, true]);
    const axes = {
      x: { kind: 'denoise', text: '0.1, 0.9', chosen: [] },
      y: { kind: 'strength:3', text: '1', chosen: [] },
    };
    assert.equal(plannedGrid({ ...state, axes }).forms.length, 1);
  });

  it('offers the samplers that the program has', async () => {
    const sampler = ROWS.find(({ id }) => id === 'sampler');
    const names = async (form) => choicesOf(sampler, await stateWith(form)).map(([name]) => name);
    assert.deepEqual(await names({ program: 'diffusers' }), ['euler_a', 'ddim']);
    assert.deepEqual(await names({ program: 'comfyui' }), ['euler_a', 'ddim', 'tcd']);
    assert.deepEqual(await names({ program: 'diffusers', sampler: 'tcd' }), ['euler_a', 'ddim', 'tcd']);
  });
});
