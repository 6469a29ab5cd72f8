/** Base models in parts: a UNet of full size whose text encoder and VAE are in other files, all of zeros. */
import assert from 'node:assert/strict';
import { mkdtempSync, openSync, closeSync, ftruncateSync, writeSync, rmSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { launch, soon } from './harness.mjs';
import { openDemo } from './studio.mjs';

/** Published shapes of SD 1.5's tensors, by key. @type {Record<string, number[]>} */
const SHAPES = JSON.parse(gunzipSync(readFileSync(new URL('../golden/single_file/sd15.json.gz', import.meta.url))));

let folder;
let site;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'loupe-parts-'));
  site = await launch();
});
after(async () => {
  await site?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Writes the tensors of a network as a file that takes no disk space; returns its path. */
function sparse(name, prefix) {
  const header = {};
  let at = 0;
  for (const [key, shape] of Object.entries(SHAPES).filter(([key]) => key.startsWith(prefix))) {
    const end = at + 2 * shape.reduce((product, axis) => product * axis, 1);
    header[key.slice(prefix.length)] = { dtype: 'F16', shape, data_offsets: [at, end] };
    at = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const path = join(folder, name);
  const file = openSync(path, 'w');
  writeSync(file, Buffer.concat([length, text]));
  ftruncateSync(file, 8 + text.length + at);
  closeSync(file);
  return path;
}

describe('a UNet in a file of its own', () => {
  it('waits for its text encoder and its VAE', async () => {
    const unet = sparse('unet.safetensors', 'model.diffusion_model.');
    const clip = sparse('clip_l.safetensors', 'cond_stage_model.transformer.');
    const vae = sparse('vae.safetensors', 'first_stage_model.');
    const { page, errors } = await openDemo(site);
    await page.setInputFiles('#pick-checkpoint', unet);
    const remark = page.locator('[data-kind=parts]');
    await remark.waitFor();
    assert.match(await remark.innerText(), /unet\.safetensors needs more files/);
    assert.match(await remark.innerText(), /no text encoder CLIP-L and no VAE/);
    assert.equal(await page.getByText('The demo could not be opened').count(), 0, 'the demo is not to blame');
    await soon(async () => assert.equal(await page.locator('#base option:checked').innerText(), 'unet.safetensors'));

    await page.setInputFiles('#pick-part', vae);
    await remark.filter({ hasText: /no text encoder CLIP-L: open/ }).waitFor();
    await page.setInputFiles('#pick-part', clip);
    await remark.waitFor({ state: 'detached' });
    const sizes = page.locator('#size');
    await sizes.waitFor();
    await soon(async () =>
      assert.deepEqual(await sizes.locator('option').allInnerTexts(), ['other', '512 × 512', '768 × 512', '512 × 768']),
    );
    await sizes.selectOption('768x512');
    assert.deepEqual([await page.inputValue('#width'), await page.inputValue('#height')], ['768', '512']);

    // Without a graphics card, a page can address 4 GB: less than the weights, their copies and the image.
    const stored = page.getByTestId('weights');
    assert.equal(await stored.getAttribute('data-weights'), 'f16');
    assert.match(await stored.innerText(), /16-bit weights: a 512 × 512 image needs 2\.4 GB/);
    assert.match(
      await stored.innerText(),
      /would need up to 4\.\d GB\. A page can use about 4\.0 GB on the processor\./,
    );
    assert.match(await stored.innerText(), /reads the affected layers from the file again/);
    await page.selectOption('#weights', 'q4');
    await page.locator('[data-testid=weights][data-weights=q4]').waitFor();
    assert.match(await stored.innerText(), /4-bit weights: a 512 × 512 image needs 1\.1 GB\. Images differ visibly\./);
    await page.selectOption('#weights', 'streamed');
    await page.locator('[data-testid=weights][data-weights=streamed]').waitFor();
    assert.match(await stored.innerText(), /read from the file again in each step: a 512 × 512 image needs 7\d\d MB/);
    assert.match(await stored.innerText(), /That is slow/);
    assert.doesNotMatch(await stored.innerText(), /affected layers/);
    await page.selectOption('#weights', 'auto');
    await page.locator('[data-testid=weights][data-weights=f16]').waitFor();

    // A file that does not belong to it is let go, and the model stays.
    await page.setInputFiles('#pick-part', sparse('other.safetensors', 'model.diffusion_model.out.'));
    await page
      .locator('[data-kind]')
      .filter({ hasText: 'unet.safetensors does not work with other.safetensors' })
      .waitFor();
    await soon(async () => assert.equal(await page.locator('#base option:checked').innerText(), 'unet.safetensors'));
    assert.equal(errors.length, 0, errors.join('\n'));
  });
});
