/** Damaged, hostile and unsuitable files dropped on one page: each is reported, and the page keeps working. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { drop, launch } from './harness.mjs';
import { reportOf } from './studio.mjs';

/**
 * @type {{ files: { file: string, acceptable_verdicts: string[], severity: 'refuse' | 'refuse_or_warn' | 'warn' }[] }}
 */
const { files } = JSON.parse(readFileSync(new URL('../hostile/manifest.json', import.meta.url), 'utf8'));
const GOOD = 'corpus/files/kohya_lora_r4a1_fp16.safetensors';

/** Valid files that are wrong only for a given base model: without one the page says which model they are for. */
const SOUND_WITHOUT_BASE = {
  'sdxl_on_sd15.safetensors': /Stable Diffusion XL/,
  'wrong_width.safetensors': /Stable Diffusion 1\.x/,
};

describe('hostile files', () => {
  let site, page, errors;
  before(async () => {
    site = await launch();
    ({ page, errors } = await site.open());
  });
  after(() => site?.close());

  /** Returns what the page reports about a file. */
  async function told(path) {
    await drop(page, [path]);
    const name = path.split('/').at(-1);
    return (await reportOf(page, name)).evaluate((report) => ({
      status: report.dataset.status,
      verdict: report.querySelector('[data-testid=verdict] .sentence')?.textContent ?? '',
      badge: report.querySelector('.badge')?.textContent?.trim() ?? '',
      kinds: [...report.querySelectorAll('[data-testid=message]')].map((message) => message.dataset.kind),
      text: report.innerText,
    }));
  }

  assert.ok(files.length > 0, 'tests/hostile/manifest.json lists no file');
  for (const { file, acceptable_verdicts: acceptable, severity } of files) {
    it(file, async () => {
      const { status, verdict, badge, kinds, text } = await told(`hostile/${file}`);
      assert.equal(status, 'read', text);
      assert.ok(verdict.length > 20, `the verdict is a sentence: ${verdict}`);
      if (SOUND_WITHOUT_BASE[file]) return assert.match(text, SOUND_WITHOUT_BASE[file]);
      const found = kinds.length ? kinds : ['ok'];
      assert.ok(
        found.some((kind) => acceptable.includes(kind)),
        `${found} instead of one of ${acceptable}\n${text}`,
      );
      if (severity === 'refuse') assert.match(badge, /Unusable file|Not a LoRA/, text);
      if (severity === 'warn') assert.doesNotMatch(badge, /Unusable file|Not a LoRA/, text);
      if (!acceptable.includes('ok')) assert.doesNotMatch(badge, /No problems found/, text);
    });
  }

  it('the page then still reads a good file, and nothing broke meanwhile', async () => {
    const { status, badge, text } = await told(GOOD);
    assert.equal(status, 'read');
    assert.match(badge, /No problems found/);
    assert.match(text, /kohya/i);
    assert.deepEqual(errors, []);
  });
});
