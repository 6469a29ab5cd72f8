/** Images of other programs: dropped anywhere, they fill the form and say what is missing. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { seedOf } from '../../web/generate/seed.js';
import { parsedLink, recipeLink } from '../../web/share/link.js';
import { drop, launch } from './harness.mjs';
import { PATIENCE, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Opens the demo, drops an image of tests/recipes and returns what the page says of it. */
async function dropped(name, kind) {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await reportOf(page, 'duotone.safetensors');
  await ready(page);
  await drop(page, [`recipes/${name}`]);
  const remark = page.locator(`#run [data-kind=${kind}]`).getByText(name);
  await remark.waitFor(PATIENCE);
  return { page, errors, said: await page.locator(`#run [data-kind=${kind}]`).innerText() };
}

describe('seeds of 64 bits', () => {
  it('are numbers as long as JavaScript has them, and digits above', () => {
    assert.equal(seedOf('648312782957426'), 648312782957426);
    assert.equal(seedOf('9007199254740993'), '9007199254740993');
    assert.equal(seedOf('18446744073709551616'), '18446744073709551615');
    assert.deepEqual([seedOf(-1), seedOf(''), seedOf(1.7)], [0, 0, 1]);
  });

  it('pass through a link', () => {
    const { recipe } = parsedLink('#v1&seed=18446744073709551615');
    assert.equal(recipe.seed, '18446744073709551615');
    assert.match(recipeLink(recipe), /&seed=18446744073709551615(&|$)/);
  });
});

describe('images of other programs', () => {
  it('restores a JPEG of a web UI', async () => {
    const { page, errors, said } = await dropped('a1111_jpeg.jpg', 'restored');
    const fields = {
      prompt: 'a (lighthouse:1.2), storm',
      negative: 'lowres, tiredneg',
      seed: '3735928559',
      steps: '28',
      hires: 'RealESRGAN_x4plus',
      hiresScale: '1.5',
    };
    for (const [id, value] of Object.entries(fields)) assert.equal(await page.inputValue(`#${id}`), value, id);
    for (const missing of [
      /AUTOMATIC1111/,
      /upscaler RealESRGAN_x4plus is not open/,
      /ink \(0f1e2d3c4b5a\)/,
      /tiredneg \(5e40d722fc3d\)/,
      /tide_v2 \(31e35c80fc\)/,
    ])
      assert.match(said, missing);
    assert.deepEqual(errors, []);
  });

  it('restores a graph of ComfyUI with its seed', async () => {
    const { page, said } = await dropped('comfyui_custom.webp', 'restored');
    const fields = {
      prompt: 'a fox',
      seed: '18446744073709551615',
      steps: '14',
      sampler: 'euler_a',
      program: 'comfyui',
    };
    for (const [id, value] of Object.entries(fields)) assert.equal(await page.inputValue(`#${id}`), value, id);
    assert.match(said, /node 2: DualCLIPLoader/);
  });

  it('keeps strengths as they were written, and names LoRAs of Civitai by their version', async () => {
    const { said } = await dropped('civitai.jpg', 'restored');
    assert.match(said, /Missing LoRA “Duotone v1\.0” \(strength 0\.4\): version 123456 on Civitai/);
  });

  it('reads parameters that are pasted, wherever the focus is', async () => {
    const { page, errors } = await site.open();
    await page.locator('#try-demo').waitFor();
    const text =
      'a red fox\nNegative prompt: blurry\nSteps: 12, Sampler: Euler a, CFG scale: 5.5, Seed: 77, Size: 512x512';
    await page.evaluate((text) => {
      const clipboardData = new DataTransfer();
      clipboardData.setData('text/plain', text);
      document.body.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
    }, text);
    await page.locator('#run [data-kind=restored]').waitFor(PATIENCE);
    const fields = {
      prompt: 'a red fox',
      negative: 'blurry',
      steps: '12',
      guidance: '5.5',
      seed: '77',
      sampler: 'euler_a',
    };
    for (const [id, value] of Object.entries(fields)) assert.equal(await page.inputValue(`#${id}`), value, id);
    assert.deepEqual(errors, []);
  });

  it('never takes a foreign text for a prompt', async () => {
    const { page, said } = await dropped('foreign_cooking.png', 'image');
    assert.match(said, /Bread Steps: 3, Time: 20 min, Serves: 4/);
    assert.notEqual(await page.inputValue('#prompt'), 'Bread');
  });
});
