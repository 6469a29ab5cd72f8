/** Links: old ones keep their meaning, and opening one reproduces the image. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { lookLink, parsedLink, recipeLink } from '../../web/share/link.js';
import { BLANK, drop, elsewhere, launch, soon, until } from './harness.mjs';
import { enter, generate, pixels, ready, reportOf } from './studio.mjs';

const STORED = JSON.parse(await readFile(new URL('links.json', import.meta.url), 'utf8'));

/** What a link means, without what of it is not usable. */
function meaning(hash) {
  const link = parsedLink(hash);
  return link?.recipe ? { recipe: link.recipe } : link;
}

let site;
before(async () => (site = await launch()));
after(() => site?.close());

describe('stored links', () => {
  for (const { note, hash, means } of STORED)
    it(`still mean what they meant: ${note}`, () => assert.deepEqual(meaning(hash), means));

  it('are written as they are read', () => {
    for (const { hash, means } of STORED) {
      if (means?.recipe) assert.deepEqual(meaning(recipeLink(means.recipe)), means, hash);
      if (means?.look) assert.deepEqual(parsedLink(lookLink(means.look)), means, hash);
    }
    const [{ hash, means }] = STORED;
    assert.equal(decodeURIComponent(recipeLink(means.recipe)), decodeURIComponent(hash));
  });

  it('carry fields that recipes get later', () => {
    const [
      {
        means: { recipe },
      },
    ] = STORED;
    const later = { ...recipe, hires: { scale: 1.5, denoise: 0.5, steps: 8 }, eta: 0.5 };
    assert.deepEqual(meaning(recipeLink(later)), { recipe: later });
  });
});

/** Presses Share link and returns the clipboard text. */
async function copied(page, id) {
  await page.evaluate(() =>
    Object.defineProperty(navigator, 'clipboard', {
      configurable: true,
      value: { writeText: async (text) => void (window.copied = text) },
    }),
  );
  await page.click(id);
  return until('the link in the clipboard', () => page.evaluate(() => window.copied));
}

describe('a link', () => {
  it('draws the same pixels for whoever opens it', async () => {
    const { page, errors } = await site.open();
    await page.click('#try-demo');
    await reportOf(page, 'duotone.safetensors');
    await ready(page);
    await page.getByRole('button', { name: 'panda', exact: true }).click();
    await enter(page, { steps: 1, seed: 5, guidance: 1 });
    await page.fill('#strength', '0.65');
    const first = await generate(page);
    const link = await copied(page, '#copy-link');
    assert.ok(link.startsWith(`${site.url}#v1&`), link);
    assert.match(link, /prompt=panda/);

    const { page: other, errors: more } = await site.open(BLANK);
    await other.goto(link);
    await ready(other);
    await other.waitForFunction(() => document.querySelector('#strength')?.value === '0.65');
    assert.equal(await other.getByTestId('image-with').count(), 0, 'nothing is drawn unasked');
    await generate(other);
    assert.equal(await other.inputValue('#strength'), '0.65');
    assert.deepEqual(await pixels(other, 'with'), first.with);
    assert.deepEqual(await pixels(other, 'without'), first.without);
    assert.deepEqual([...errors, ...more], []);
  });

  it('asks for what it lacks by name and hash, and takes it up when it comes', async () => {
    const bytes = await readFile(new URL('../golden/loras/mini-sd15/lora_a.safetensors', import.meta.url));
    const sha256 = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
    const recipe = {
      version: 1,
      model: 'mini-sd15',
      prompt: 'a cat',
      negative: null,
      seed: 1,
      steps: 2,
      guidance: 5,
      sampler: 'euler',
      width: 64,
      height: 64,
    };
    const { page } = await site.open(BLANK);
    await page.goto(
      site.url + recipeLink({ ...recipe, adapters: [{ name: 'lora_a.safetensors', sha256, strength: 0.5 }] }),
    );
    const remark = page.locator('#run [data-kind=restored]');
    await remark.waitFor();
    assert.match(await remark.innerText(), new RegExp(`lora_a\\.safetensors.*${sha256.slice(0, 12)}`));
    assert.match(await remark.innerText(), /mini-sd15/);
    await drop(page, ['golden/loras/mini-sd15/lora_a.safetensors']);
    await reportOf(page, 'lora_a.safetensors');
    await page.waitForFunction(
      () => !document.querySelector('#run [data-kind=restored]')?.textContent.includes('lora_a'),
    );
    await soon(async () => {
      assert.equal(await page.inputValue('#strength'), '0.5');
      assert.equal(await page.locator('#lora option:checked').innerText(), 'lora_a');
    });
  });

  it('brings a LoRA from its address after a click, and no sooner', async () => {
    const bytes = await readFile(new URL('../../web/public/demo/loras/duotone.safetensors', import.meta.url));
    const sha256 = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
    const far = await elsewhere(bytes);
    try {
      const { page } = await site.open(BLANK);
      const recipe = {
        version: 1,
        model: 'Tiny emoji SD',
        prompt: 'panda',
        negative: null,
        seed: 1,
        steps: 1,
        guidance: 1,
        sampler: 'dpmpp_2m',
        width: 64,
        height: 64,
      };
      const adapter = { name: 'far.safetensors', sha256, strength: 0.5, blocks: 'MID=0', address: far.address };
      await page.goto(site.url + recipeLink({ ...recipe, adapters: [adapter] }));
      await page.locator('[data-kind=asked]').getByText(far.address).waitFor();
      assert.deepEqual(far.asked, []);
      await page.click('#read-asked');
      await page.locator('#lora option:checked', { hasText: 'far' }).waitFor({ state: 'attached' });
      await ready(page);
      await generate(page);
      assert.ok(
        far.asked.every(({ cookie, referer }) => !cookie && !referer),
        JSON.stringify(far.asked),
      );
      await soon(async () => assert.equal(await page.locator('#lora option:checked').innerText(), 'far'));
      const link = new URL(await copied(page, '#copy-link'));
      assert.deepEqual(parsedLink(link.hash).recipe.adapters, [adapter]);
    } finally {
      far.close();
    }
  });

  it('to a report shows it', async () => {
    const { page } = await site.open(BLANK);
    await page.goto(`${site.url}#v1&look=ink_icon.safetensors:0123456789abcdef`);
    await reportOf(page, 'ink_icon.safetensors');
    const link = await copied(page, '#copy-look-link');
    assert.match(link, /#v1&look=ink_icon\.safetensors:[0-9a-f]{64}$/);
    await page.goto(`${site.url}#v1&look=mine.safetensors:0123456789abcdef`);
    await page.getByText('This link is about mine.safetensors').waitFor();
    await page.goto(`${site.url}#v1&look=https://example.org/a.safetensors`);
    const asked = page.locator('[data-kind=asked]');
    await soon(async () => {
      assert.match(await asked.innerText(), /https:\/\/example\.org\/a\.safetensors/);
      assert.equal(await asked.getByRole('button', { name: 'Open it' }).count(), 1);
    });
    await page.goto(`${site.url}#v9&x`);
    await page.getByText('version 9').waitFor();
  });
});
