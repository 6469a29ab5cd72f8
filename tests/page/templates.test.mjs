/** Styles and wildcards: what is opened, and the prompts of an image. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openPage } from './page.mjs';
const { closed, filled, opened } = await import('../../web/templates/fill.js');
const { NO_TEMPLATES } = await import('../../web/templates/state.js');

/** An engine that says what it was asked. */
function engine() {
  const asked = [];
  const answers = {
    styleNames: () => ['Ink', 'Oil'],
    applyStyles: ({ prompt, negative, chosen }) => [`${prompt}, ${chosen}`, negative],
    fillTemplate: ({ template, seed }) => `${template} by ${seed}`,
  };
  return { asked, prompted: async (name, given) => (asked.push([name, given]), answers[name](given)) };
}

const file = (name, text) => new File([text], name);

describe('styles and wildcards', () => {
  it('are opened by their kind, and let go', async () => {
    const client = engine();
    const change = await opened([file('colors.txt', 'red\nblue'), file('styles.csv', 'name,prompt')], client);
    assert.deepEqual(change, { wildcards: ['colors'], fill: true, styles: ['Ink', 'Oil'], chosen: [] });
    assert.deepEqual(client.asked, [['styleNames', { csv: 'name,prompt' }]]);
    const form = { prompt: 'a __colors__ cat', negative: 'x', seed: '18446744073709551615' };
    const state = { form, templates: { ...NO_TEMPLATES, ...change, chosen: ['Oil'] } };
    const { form: next } = await filled(state, client);
    assert.deepEqual(next, {
      ...form,
      prompt: 'a __colors__ cat, Oil by 18446744073709551615',
      negative: 'x by 18446744073709551615',
    });
    const [name, given] = client.asked.at(-1);
    assert.equal(name, 'fillTemplate');
    assert.deepEqual([given.names, given.texts], [['colors'], ['red\nblue']]);
    assert.deepEqual(closed(), { wildcards: [], styles: [], chosen: [], fill: false });
    await filled({ form, templates: { ...NO_TEMPLATES, fill: true } }, client);
    assert.deepEqual(client.asked.at(-1)[1].names, []);
  });

  it('leave prompts alone that nobody wants to be filled', async () => {
    const client = engine();
    const state = { form: { prompt: '{a|b}', negative: '', seed: 1 }, templates: NO_TEMPLATES };
    assert.deepEqual(await filled(state, client), state);
    assert.deepEqual(client.asked, []);
  });

  it('are a part of the form that is loaded when it is unfolded', async () => {
    const page = await openPage();
    assert.equal(page.state().templates.unfolded, false);
    page.send({ type: 'templates/unfolded' });
    await page.until('its part', ({ templates }) => templates.unfolded);
  });
});
