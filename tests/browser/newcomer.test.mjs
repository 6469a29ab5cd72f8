/** Somebody who knows AUTOMATIC1111 finds things by the names that they have there, at most three clicks from the drop. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { drop, launch, soon } from './harness.mjs';
import { PATIENCE, ready, reportOf } from './studio.mjs';

/** A LoRA of the user's own that fits the model at hand. */
const LORA = 'own/my_style.safetensors';
const MOST_CLICKS = 3;

let site;
before(async () => {
  site = await launch();
  const bytes = await readFile(new URL('../../web/public/demo/loras/ink_icon.safetensors', import.meta.url));
  site.changed.set(`/tests/${LORA}`, bytes);
});
after(() => site?.close());

/** A visible field by its name, whatever its kind. */
const field = (page, name) =>
  ['textbox', 'spinbutton', 'combobox']
    .map((role) => page.locator('#run').getByRole(role, { name, exact: true }))
    .reduce((one, other) => one.or(other))
    .first();

/** Drops a file on a first visit. `click` counts; a choice in a list is a click too. */
async function dropped(path) {
  const { page, errors } = await site.open();
  await page.waitForSelector('#try-demo');
  await drop(page, [path]);
  let clicks = 0;
  const count = () => assert.ok(++clicks <= MOST_CLICKS, `${clicks} clicks`);
  const click = async (locator) => (count(), locator.click());
  const choose = async (name, label) => (count(), field(page, name).selectOption({ label }));
  /** Presses a button that starts a run, as the last click; the run is cancelled. */
  const start = async (name) => {
    await ready(page);
    await click(page.locator('#run').getByRole('button', { name }));
    await page.waitForSelector('[data-testid=run]:not([data-status=idle])', PATIENCE);
    assert.deepEqual(errors, []);
    await page.context().close();
  };
  return { page, click, choose, start };
}

describe('somebody who knows A1111 finds', () => {
  it('txt2img with the LoRA that was dropped', async () => {
    const { page, click, start } = await dropped(LORA);
    await reportOf(page, 'my_style.safetensors');
    await soon(async () => assert.equal(await page.locator('#lora option:checked').innerText(), 'my_style'));
    for (const name of ['Prompt', 'Negative prompt', 'Steps', 'CFG scale', 'Sampler', 'Seed', 'Batch count']) {
      await field(page, name).waitFor();
    }
    await click(page.getByRole('navigation').getByRole('button', { name: 'Generate' }));
    await start('Generate');
  });

  it('the way to a checkpoint for a LoRA that does not fit the demo', async () => {
    const { page } = await dropped('corpus/files/kohya_lora_r4a1_fp16.safetensors');
    const said = page.locator('#run [data-kind=unfit]');
    await said.getByText('Open a checkpoint…', { exact: true }).waitFor();
    const damaged = new URL('../hostile/truncated_data.safetensors', import.meta.url);
    await said.locator('#pick-fitting').setInputFiles(fileURLToPath(damaged));
    await page.getByText('truncated_data.safetensors cannot be used as a base model').waitFor();
  });

  it('Hires. fix', async () => {
    const { page, click, choose, start } = await dropped(LORA);
    await reportOf(page, 'my_style.safetensors');
    await click(page.getByText('Advanced', { exact: true }));
    await choose('Hires. fix', 'Latent upscale');
    for (const name of ['Upscale by', 'Denoising strength', 'Hires steps']) {
      await field(page, name).waitFor();
    }
    await start('Generate');
  });

  it('an X/Y plot', async () => {
    const { page, click, start } = await dropped(LORA);
    await reportOf(page, 'my_style.safetensors');
    await click(page.getByRole('heading', { name: 'X/Y plot' }));
    for (const name of ['X axis', 'Y axis']) await field(page, name).waitFor();
    await start(/6 images/);
  });

  it('the settings of a JPEG from Civitai', async () => {
    const { page, start } = await dropped('recipes/civitai.jpg');
    const said = JSON.parse(await readFile(new URL('../recipes/civitai.json', import.meta.url), 'utf8'));
    await page.locator('#run [data-kind=restored]').getByText('civitai.jpg').waitFor();
    for (const field of ['prompt', 'seed', 'steps', 'guidance', 'sampler']) {
      assert.equal(await page.inputValue(`#${field}`), String(said[field]), field);
    }
    await start('Generate');
  });
});
