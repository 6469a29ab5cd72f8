/**
 * The lines of README.md for pip and npm, and of python/README.md, run in empty folders with the packages of this tree.
 * action.test.mjs has those for the action, npm.test.mjs the README of the npm package. `cargo xtask test packages` sets WHEEL,
 * NPM_TARBALL and LORA_LOUPE, the command in an environment with the wheel and numpy.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ADAPTER = join(ROOT, 'tests/corpus/files/kohya_lora_r4a1_fp16.safetensors');
const folders = [];

after(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))));

/** The block of a README that holds these words, with the package of this tree instead of the published one. */
async function lines(readme, words) {
  const text = await readFile(join(ROOT, readme), 'utf8');
  const blocks = [...text.matchAll(/^```\w+\n([\s\S]*?)^```$/gm)].map(([, block]) => block);
  const { WHEEL, NPM_TARBALL } = process.env;
  const block = blocks.find((block) => block.includes(words));
  return block
    .replace('pip install lora-loupe', `pip install ${WHEEL}`)
    .replace('npm install lora-loupe', `npm install ${NPM_TARBALL}`);
}

/** A folder with an adapter under these names. */
async function folderWith(...names) {
  const folder = await mkdtemp(join(tmpdir(), 'lora-loupe-readme-'));
  folders.push(folder);
  await Promise.all(names.map((name) => copyFile(ADAPTER, join(folder, name))));
  return folder;
}

function run(folder, program, ...words) {
  const PATH = join(folder, 'venv/bin') + delimiter + process.env.PATH;
  const told = spawnSync(program, words, { cwd: folder, encoding: 'utf8', env: { ...process.env, PATH } });
  assert.equal(told.status, 0, told.stderr);
  return told.stdout;
}

describe('the lines of README.md', () => {
  it('work for pip', async () => {
    const folder = await folderWith('panda.safetensors');
    run(folder, process.env.PYTHON ?? 'python3', '-m', 'venv', 'venv');
    assert.match(
      run(folder, 'bash', '-euc', await lines('README.md', 'pip install lora')),
      /LoRA.* for Stable Diffusion 1/,
    );
    assert.match(run(folder, 'lora-loupe', 'inspect', 'panda-kohya.safetensors'), /key format/);
  });

  it('work for npm', async () => {
    const folder = await folderWith('panda.safetensors');
    assert.match(
      run(folder, 'bash', '-euc', await lines('README.md', 'npm install lora')),
      /LoRA.* for Stable Diffusion 1/,
    );
  });
});

describe('the lines of python/README.md', () => {
  it('work in a shell', async () => {
    const folder = await folderWith('panda.safetensors');
    run(folder, process.env.PYTHON ?? 'python3', '-m', 'venv', 'venv');
    const told = run(folder, 'bash', '-euc', await lines('python/README.md', 'pip install lora'));
    assert.equal(told.match(/LoRA.* for Stable Diffusion 1/g).length, 2);
  });

  it('work in Python', async () => {
    const folder = await folderWith('panda.safetensors', 'style.safetensors');
    await writeFile(join(folder, 'not-a-lora.safetensors'), '<!DOCTYPE html><html></html>');
    const python = join(dirname(process.env.LORA_LOUPE), 'python');
    const told = run(folder, python, '-c', await lines('python/README.md', 'import lora_loupe\n\n'));
    assert.match(told, /Stable Diffusion 1/);
    assert.match(told, /edit\.|file\./);
    assert.ok((await stat(join(folder, 'both.safetensors'))).size > 0);
  });
});
