/** The Look section: loaders and logs, pickles, folders, URLs, layers, comparisons, exports. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { BLANK, drop, launch, soon } from './harness.mjs';
import { reportOf } from './studio.mjs';

const KOHYA = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';
const LOKR = 'corpus/files/lycoris_lokr_full_bf16.safetensors';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Opens a page with the report of a file of tests/. */
async function openReport(path) {
  const { page, errors } = await site.open();
  await drop(page, [path]);
  await reportOf(page, path.split('/').at(-1));
  return { page, errors };
}

/** Returns name and bytes of a download. */
async function saved(page, selector) {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click(selector)]);
  return { name: download.suggestedFilename(), bytes: await readFile(await download.path()) };
}

/** Drops files of tests/ as a folder. Scripts cannot create a folder drop, so the page's own event is dispatched. */
async function dropFolder(page, name, files) {
  await page.evaluate(
    async ({ name, files }) => {
      const opened = files.map(async ([path, from]) => ({
        path,
        file: new File([await (await fetch(`/tests/${from}`)).blob()], path.split('/').at(-1)),
      }));
      const detail = { files: [], folders: [{ name, files: await Promise.all(opened) }], place: '' };
      document.querySelector('drop-zone').dispatchEvent(new CustomEvent('files', { detail }));
    },
    { name, files },
  );
}

describe('strength', () => {
  it('is measured beside the weights of the base model, and can be stopped', async () => {
    const { page, errors } = await site.open();
    await page.evaluate(async () => {
      const file = new File([await (await fetch('demo/loras/duotone.safetensors')).blob()], 'duotone.safetensors');
      document
        .querySelector('drop-zone')
        .dispatchEvent(new CustomEvent('files', { detail: { files: [file], folders: [], place: '' } }));
    });
    await reportOf(page, 'duotone.safetensors');
    const verdict = page.getByTestId('verdict');
    await soon(async () => assert.match(await verdict.innerText(), /Changes the weights by about [\d.]+%/));
    // Stopped as soon as the button appears, since the measurement takes only a moment.
    await page.evaluate(() => {
      new MutationObserver((_, observer) => {
        const stop = document.getElementById('stop-weighing');
        if (stop) observer.disconnect();
        stop?.click();
      }).observe(document.body, { subtree: true, childList: true });
      document.getElementById('weigh').click();
    });
    await page.locator('#weigh').waitFor();
    assert.equal(await page.getByTestId('weighed').count(), 0);

    await page.click('#weigh');
    const said = (await page.getByTestId('weighed').innerText()).match(
      /the median of (\d+) layers changes by ([\d.]+)%, the largest by ([\d.]+)%/,
    );
    const [layers, middle, most] = said.slice(1).map(Number);
    await page.locator('#modules summary').click();
    const table = page.getByTestId('modules');
    await table.getByRole('button', { name: 'Relative change' }).click();
    const shares = (await table.locator('tbody tr').allInnerTexts()).map((row) => Number(row.match(/([\d.]+)%/)[1]));
    assert.equal(shares.length, Math.min(100, layers));
    assert.ok(
      shares.every((share, i) => !i || share <= shares[i - 1]),
      `${shares}`,
    );
    assert.equal(shares[0], most);
    assert.ok(middle > 0 && middle <= most && most < 100, said[0]);
    const text = await verdict.innerText();
    assert.doesNotMatch(text, /by about/);
    assert.equal(text.match(/Multiply the weights by ([\d.]+)/)?.[1], text.match(/try strength ([\d.]+)\./)?.[1], text);
    assert.deepEqual(errors, []);
  });
});

describe('will it work', () => {
  it('says for each program what becomes of the file, and why', async () => {
    const { page, errors } = await openReport(LOKR);
    const loaders = page.locator('[data-testid=works] .loader');
    const told = await loaders.evaluateAll((all) => all.map(({ dataset, innerText }) => ({ ...dataset, innerText })));
    assert.deepEqual(told.map(({ loader }) => loader).sort(), [
      'a1111',
      'comfyui',
      'diffusers',
      'forge',
      'invokeai',
      'stable_diffusion_cpp',
      'this_page',
    ]);
    for (const { status, innerText } of told.filter(({ status }) => status !== 'applied')) {
      assert.ok(innerText.length > 60, `${status}: ${innerText}`);
    }
    assert.ok(
      told.some(({ status }) => status === 'applied') && told.some(({ status }) => status !== 'applied'),
      JSON.stringify(told),
    );
    assert.match(await page.getByTestId('verdict').innerText(), /Works in .*ComfyUI/);
    assert.deepEqual(errors, []);
  });

  it('explains a pasted line of a log, and says when it cannot', async () => {
    const { page } = await openReport('corpus/files/kohya_with_unmatched_keys_fp16.safetensors');
    const leftover = await page.locator('[data-testid=leftovers] code').first().textContent();
    const answer = page.getByTestId('log-answer');
    await page.fill('#log-line', `lora key not loaded: ${leftover}`);
    await page.click('#explain');
    await answer.getByText(/./).first().waitFor();
    assert.ok((await answer.innerText()).length > 60, await answer.innerText());
    await page.fill('#log-line', 'Killed');
    await page.press('#log-line', 'Enter');
    await page.getByText('Not a LoRA message').waitFor();
  });
});

describe('pickles', () => {
  it('lists what a dangerous one would import, and refuses it', async () => {
    const { page } = await openReport('hostile/pickle_os_system.pt');
    const imports = page.getByTestId('imports');
    assert.equal(await imports.getAttribute('data-worst'), 'dangerous');
    assert.match(await imports.innerText(), /(os|posix|nt)[. ]system/);
    assert.match(await page.getByTestId('verdict').innerText(), /Not a LoRA|Unusable file/);
  });

  it('says of a sound one that it is harmless, and reads it', async () => {
    const { page } = await openReport('corpus/files/old_diffusers_attn_procs_legacy_pickle.bin');
    const imports = page.getByTestId('imports');
    assert.equal(await imports.getAttribute('data-worst'), 'harmless');
    assert.match(await imports.innerText(), /Harmless: \d+ names/);
    assert.ok((await page.locator('[data-testid=coverage] .tile').count()) > 10);
  });
});

describe('many files', () => {
  const FILES = [
    KOHYA,
    LOKR,
    'corpus/files/kohya_te_only_r4a2_fp16.safetensors',
    'corpus/files/diffusers_lora_AB_metadata_r6a3_fp32.safetensors',
  ];

  it('become a table that sorts, filters, marks copies, opens reports and can be saved', async () => {
    const { page, errors } = await site.open();
    const list = [...FILES.map((path) => [path.split('/').at(-1), path]), ['copies/again.safetensors', KOHYA]];
    await dropFolder(page, 'loras', [...list, ['notes.txt', 'corpus/README.md']]);
    await page.waitForSelector('[data-testid=folder][data-done=yes]');
    const rows = page.locator('[data-testid=folder] tbody tr');
    assert.equal(await rows.count(), list.length);
    assert.equal(await page.locator('[data-testid=folder] tbody .badge').count(), 2, 'both copies are marked');

    const ranks = () =>
      rows.evaluateAll((all) => all.map((row) => parseFloat(row.children[4].textContent.split('–').at(-1)) || 0));
    await page.getByRole('button', { name: 'Rank' }).click();
    const sorted = await ranks();
    assert.deepEqual(
      sorted,
      sorted.toSorted((a, b) => b - a),
    );
    await page.fill('#folder-filter', 'lokr');
    await soon(async () => assert.equal(await rows.count(), 1));
    await page.fill('#folder-filter', '');

    const csv = await saved(page, '#folder-csv');
    const lines = csv.bytes.toString().trim().split('\r\n');
    assert.equal(lines.length, 1 + list.length);
    assert.match(lines[0], /^file,size,/);
    const json = JSON.parse((await saved(page, '#folder-json')).bytes);
    assert.deepEqual(json.map(({ file }) => file).sort(), list.map(([path]) => `loras/${path}`).sort());
    assert.equal(json.find(({ file }) => file.endsWith('kohya_lora_r4a1_fp16.safetensors')).rank_high, 4);

    await rows.filter({ hasText: 'lokr' }).click();
    await reportOf(page, 'lycoris_lokr_full_bf16.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /LoKr/);
    assert.deepEqual(errors, []);
  });

  it('of which one is a PEFT folder are read with its config', async () => {
    const { page } = await site.open();
    const from = 'corpus/files/peft_plain_text_encoder';
    await dropFolder(
      page,
      'peft',
      ['adapter_model.safetensors', 'adapter_config.json'].map((name) => [name, `${from}/${name}`]),
    );
    await reportOf(page, 'adapter_model.safetensors');
    const { lora_alpha: alpha } = JSON.parse(
      await readFile(new URL(`../${from}/adapter_config.json`, import.meta.url), 'utf8'),
    );
    assert.match(await page.getByTestId('verdict').innerText(), new RegExp(`Alpha\\s+${alpha}\\b`, 'i'));
  });
});

describe('an address', () => {
  /** Serves one LoRA from another origin and counts the bytes sent. */
  async function elsewhere({ ranges = true, cors = true } = {}) {
    const file = new URL(`../${KOHYA}`, import.meta.url);
    const { size } = await stat(file);
    const given = { bytes: 0, asked: 0 };
    const server = createServer((request, response) => {
      given.asked++;
      const headers = cors
        ? { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'content-range' }
        : {};
      const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      if (!ranges || first === undefined) {
        response.writeHead(200, { ...headers, 'content-length': size });
        return createReadStream(file).pipe(response);
      }
      const [start, end] = [Number(first), Math.min(Number(last), size - 1)];
      given.bytes += end - start + 1;
      response.writeHead(206, {
        ...headers,
        'content-range': `bytes ${start}-${end}/${size}`,
        'content-length': end - start + 1,
      });
      createReadStream(file, { start, end }).pipe(response);
    });
    await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
    server.unref();
    const close = () => (server.closeAllConnections(), server.close());
    return { address: `http://127.0.0.1:${server.address().port}/some/lora.safetensors`, size, given, close };
  }

  async function openAddress(page, address) {
    await page.click('.address summary');
    await page.fill('#address', address);
    await page.click('#open-address');
  }

  it('is read by ranges: the header first, the numbers when asked for', async () => {
    const other = await elsewhere();
    const { page, errors } = await site.open();
    assert.equal(other.given.asked, 0);
    await openAddress(page, other.address);
    await reportOf(page, 'lora.safetensors');
    assert.match(await page.getByTestId('verdict').innerText(), /Layers\s+264\b/i);
    const header = 8 + Number((await readFile(new URL(`../${KOHYA}`, import.meta.url))).readBigUInt64LE(0));
    assert.ok(other.given.bytes < header + 4096, `${other.given.bytes} bytes for a header of ${header}`);
    await page.click('#read-numbers');
    await page.waitForSelector('[data-testid=report][data-status=read]');
    await page.getByTestId('hashes').waitFor();
    const blocks = await page
      .locator('[data-testid=coverage] [role=option]')
      .evaluateAll((all) => all.map((each) => each.getAttribute('aria-label')));
    assert.ok(
      blocks.some((line) => /norm [\d.]+$/.test(line)),
      blocks.join('\n'),
    );
    assert.deepEqual(errors, []);
    other.close();
  });

  it('whose server gives no ranges, or forbids other pages to read, is explained', async () => {
    for (const [how, says] of [
      [{ ranges: false }, /partial downloads/],
      [{ cors: false }, /blocks other sites/],
    ]) {
      const other = await elsewhere(how);
      const { page } = await site.open();
      await openAddress(page, other.address);
      const error = page.getByTestId('address-error');
      await error.waitFor();
      assert.match(await error.innerText(), says);
      assert.match(await error.innerText(), /drop it here/);
      other.close();
    }
    const { page } = await site.open();
    await openAddress(page, 'my lora');
    assert.match(await page.getByTestId('address-error').innerText(), /is not a URL/);
  });
});

describe('the map', () => {
  it('has a tile for every layer; a click shows its spectrum and numbers', async () => {
    const { page, errors } = await openReport(KOHYA);
    const tiles = page.locator('[data-testid=coverage] .tile');
    assert.equal(await tiles.count(), 264);
    const path = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q';
    const tile = page.locator(`.tile[data-path="${path}"]`);
    await tile.hover();
    await soon(async () =>
      assert.match(await page.getByTestId('block-detail').innerText(), /attn1\.to_q.*changed by about [\d.]+%/),
    );
    await tile.click();
    const layer = page.getByTestId('layer');
    await layer.locator('.spectrum').waitFor();
    assert.equal(await layer.getAttribute('data-path'), path);
    assert.equal(await layer.locator('.spectrum rect').count(), 4, 'one value a rank');
    const text = await layer.innerText();
    for (const name of ['Stable rank', 'Effective rank', 'Rank for 98% energy', 'Largest'])
      assert.ok(text.includes(name), text);
    await layer.getByRole('button').click();
    await soon(async () => assert.equal(await layer.count(), 0));
    assert.deepEqual(errors, []);
  });
});

describe('a file that is being read', () => {
  it('explains the words of the field to the mouse, a finger and the keyboard', async () => {
    const { page } = await openReport(KOHYA);
    const rank = page.getByTestId('verdict').locator('summary', { hasText: 'Rank' });
    const says = page.getByText('Network dim: the inner size');
    assert.match(await rank.getAttribute('title'), /Network dim/);
    assert.equal(await says.isVisible(), false);
    await rank.click();
    await soon(async () => assert.equal(await says.isVisible(), true));
    await page.getByTestId('verdict').locator('summary', { hasText: 'Alpha' }).press('Enter');
    await soon(async () => assert.equal(await says.isVisible(), false, 'one at a time'));
  });

  it('has its verdict and its map from the header before its numbers are there', async () => {
    const { page, errors } = await site.open();
    await page.evaluate(() => {
      window.seen = [];
      const look = () => {
        const report = document.querySelector('[data-testid=report][data-status=reading]');
        if (!report?.querySelector('[data-testid=verdict]')) return;
        const { length } = report.querySelectorAll('.tile');
        window.seen.push({
          sentence: report.querySelector('.sentence').textContent,
          tiles: length,
          unmeasured: report.querySelectorAll('.tile.step-0').length,
        });
      };
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true, attributes: true });
    });
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    const seen = await page.evaluate(() => window.seen);
    assert.ok(seen.length > 0, 'the header was on show first');
    assert.match(seen[0].sentence, /LoRA for Stable Diffusion 1/);
    assert.deepEqual([seen[0].tiles, seen[0].unmeasured], [264, 264]);
    await soon(async () => assert.equal(await page.locator('.tile.step-0').count(), 0));
    assert.deepEqual(errors, []);
  });

  it('gives way to one that is dropped later, and is read after it', async () => {
    const { page, errors } = await site.open();
    await drop(page, [LOKR]);
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await page.locator('button.tab', { hasText: 'lycoris_lokr_full_bf16.safetensors' }).click();
    await reportOf(page, 'lycoris_lokr_full_bf16.safetensors');
    await soon(async () => assert.equal(await page.getByTestId('rest').count(), 0));
    assert.deepEqual(errors, []);
  });
});

describe('health', () => {
  it('is told in a sentence once all numbers are read', async () => {
    const { page } = await openReport(KOHYA);
    const health = page.getByTestId('health');
    await health.waitFor();
    assert.match(await health.innerText(), /Changes the weights by about [\d.]+%/);
  });

  it('of a file whose changes are all zero says so', async () => {
    const { page } = await openReport('hostile/all_zero_up.safetensors');
    assert.match(await page.getByTestId('report').innerText(), /No effect/i);
  });
});

describe('training', () => {
  it('puts tags into the prompt and takes them out again', async () => {
    const { page } = await openReport(KOHYA);
    const chip = page.locator('[data-testid=training] .chip').first();
    const tag = await chip.locator('bdi').textContent();
    const before = await page.inputValue('#prompt');
    await chip.click();
    await soon(async () => {
      assert.equal(await page.inputValue('#prompt'), `${before}, ${tag}`);
      assert.equal(await chip.getAttribute('aria-pressed'), 'true');
    });
    await chip.click();
    assert.equal(await page.inputValue('#prompt'), before);
  });
});

describe('two files', () => {
  it('are compared by their effect and their metadata', async () => {
    const { page } = await site.open();
    await drop(page, [KOHYA]);
    await reportOf(page, 'kohya_lora_r4a1_fp16.safetensors');
    await drop(page, ['corpus/files/lycoris_lora_norm_r2a1_fp16.safetensors']);
    await reportOf(page, 'lycoris_lora_norm_r2a1_fp16.safetensors');
    await page.selectOption('#compare-with', { label: 'kohya_lora_r4a1_fp16.safetensors' });
    await page.waitForSelector('[data-testid=compare][data-status=done]');
    // Both have independent random weights.
    assert.match(await page.getByTestId('relation').innerText(), /nothing in common/);
    await page.getByText(/^Layer by layer/).click();
    const told = await page
      .locator('[data-testid=compared-layers] tbody tr')
      .evaluateAll((rows) => rows.map(({ children }) => children[1].textContent.trim()));
    const cosines = told.filter((cosine) => cosine !== '–').map(Number);
    assert.ok(cosines.length > 0 && cosines.every((cosine) => Math.abs(cosine) < 0.5), told.join(' '));
    assert.ok(new Set(cosines).size > 1, `each layer has its own: ${told.join(' ')}`);
  });
});

describe('a report', () => {
  it('is saved as one HTML file that shows the same without this page', async () => {
    const { page } = await openReport(KOHYA);
    const { name, bytes } = await saved(page, '#save-report');
    assert.equal(name, 'kohya_lora_r4a1_fp16.safetensors.html');
    const { page: alone } = await site.open(BLANK, { javaScriptEnabled: false });
    const asked = [];
    alone.on('request', (request) => asked.push(request.url()));
    await alone.setContent(bytes.toString());
    assert.match(await alone.locator('.sentence').first().innerText(), /LoRA for Stable Diffusion 1/);
    assert.equal(await alone.locator('.tile').count(), 264);
    assert.equal(await alone.locator('button, input').count(), 0);
    assert.deepEqual(
      asked.filter((url) => !url.startsWith('data:')),
      [],
    );
    const fill = (on) =>
      on
        .locator('.tile')
        .first()
        .evaluate((tile) => getComputedStyle(tile).fill);
    assert.equal(await fill(alone), await fill(page));
  });

  it('is copied as markdown', async () => {
    const { page } = await openReport(KOHYA);
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    await page.click('#copy-report');
    await page.waitForFunction(async () => (await navigator.clipboard.readText()).startsWith('# kohya_lora'));
    const text = await page.evaluate(() => navigator.clipboard.readText());
    for (const part of [/\| Rank \| 4 \|/, /## Compatibility/, /\| ComfyUI .*works, 264 of 264/, /## Affected layers/])
      assert.match(text, part);
  });
});
