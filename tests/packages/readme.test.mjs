/**
 * The lines of README.md for pip, npm and the action, run in empty folders with the packages of this tree.
 * `cargo xtask test packages` sets WHEEL and NPM_TARBALL.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const folders = [];
let blocks;

before(async () => {
  const text = await readFile(join(ROOT, 'README.md'), 'utf8');
  blocks = [...text.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(([, block]) => block);
});
after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** An empty folder with an adapter. */
async function empty() {
  const folder = await mkdtemp(join(tmpdir(), 'lora-loupe-readme-'));
  folders.push(folder);
  await copyFile(join(ROOT, 'tests/corpus/files/kohya_lora_r4a1_fp16.safetensors'), join(folder, 'panda.safetensors'));
  return folder;
}

function run(folder, script) {
  const PATH = join(folder, 'venv/bin') + delimiter + process.env.PATH;
  const told = spawnSync('bash', ['-euc', script], { cwd: folder, encoding: 'utf8', env: { ...process.env, PATH } });
  assert.equal(told.status, 0, told.stderr);
  return told.stdout;
}

const blockWith = (words) => blocks.find((block) => block.includes(words));

describe('the lines of the README', () => {
  it('work for pip', async () => {
    const folder = await empty();
    run(folder, `${process.env.PYTHON ?? 'python3'} -m venv venv`);
    const told = run(
      folder,
      blockWith('pip install').replace('pip install lora-loupe', `pip install ${process.env.WHEEL}`),
    );
    assert.match(told, /LoRA.* for Stable Diffusion 1/);
    assert.match(run(folder, 'lora-loupe inspect panda-kohya.safetensors'), /key format/);
  });

  it('work for npm', async () => {
    const folder = await empty();
    const lines = blockWith('npm install').replace('npm install lora-loupe', `npm install ${process.env.NPM_TARBALL}`);
    assert.match(run(folder, lines), /LoRA.* for Stable Diffusion 1/);
  });

  it('name the inputs of the action', async () => {
    const [, given] = /with: \{ (\w+):/.exec(blockWith('uses: OWNER/lora-loupe'));
    assert.match(await readFile(join(ROOT, 'action.yml'), 'utf8'), new RegExp(`^ {2}${given}:$`, 'm'));
  });
});
