/**
 * The GitHub Action, by running the shell steps of action.yml in an empty folder, and the hook of pre-commit by its entry.
 * `cargo xtask test packages` sets WHEEL.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GOOD = 'tests/corpus/files/kohya_lora_r4a1_fp16.safetensors';
const BAD = 'tests/hostile/truncated_data.safetensors';

let folder, steps;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lora-loupe-action-'));
  steps = shellSteps(await readFile(join(ROOT, 'action.yml'), 'utf8'));
  const venv = spawnSync(process.env.PYTHON ?? 'python3', ['-m', 'venv', 'venv'], { cwd: folder, encoding: 'utf8' });
  assert.equal(venv.status, 0, venv.stderr);
});
after(() => rm(folder, { recursive: true, force: true }));

/** The steps with `run`, in the shape in which action.yml is written. @returns {{ name: string, run: string }[]} */
function shellSteps(text) {
  return text
    .split(/^ {4}- /m)
    .slice(1)
    .filter((step) => /^ {6}run:/m.test(step))
    .map((step) => {
      const [, name] = /^name: (.*)$/m.exec(step);
      const [, line, block] = /^ {6}run: (?:\|\n([\s\S]*)|(.*))$/m.exec(step);
      return { name, run: (line ?? block).replace(/^ {8}/gm, '') };
    });
}

/** Runs a step as GitHub does. */
function run(name, env) {
  const { run } = steps.find((step) => step.name === name);
  const PATH = join(folder, 'venv/bin') + delimiter + process.env.PATH;
  const bash = ['--noprofile', '--norc', '-eo', 'pipefail', '-c', run];
  return spawnSync('bash', bash, { cwd: folder, encoding: 'utf8', env: { ...process.env, ...env, PATH } });
}

describe('the action', () => {
  it('installs the package', () => {
    const { status, stderr } = run('Install', { PACKAGE: process.env.WHEEL });
    assert.equal(status, 0, stderr);
  });

  it('passes good files and prints the table, also as the summary of the job', async () => {
    await copyFile(join(ROOT, GOOD), join(folder, 'panda.safetensors'));
    const summary = join(folder, 'summary.md');
    await writeFile(summary, '');
    const env = { FILES: 'panda.safetensors', HEADERS: 'false', STRICT: 'false', GITHUB_STEP_SUMMARY: summary };
    const { status, stdout, stderr } = run('Check', env);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /panda\.safetensors \| Stable Diffusion 1/);
    assert.equal(await readFile(summary, 'utf8'), stdout);
  });

  it('fails for a file with an error, in any folder', async () => {
    await copyFile(join(ROOT, BAD), join(folder, 'broken.safetensors'));
    const { status, stdout } = run('Check', { FILES: '.', HEADERS: 'true', STRICT: 'false' });
    assert.equal(status, 1);
    assert.match(stdout, /\*\*error\*\* \| \.\/broken\.safetensors/);
    assert.match(stdout, /1 of 2 files have errors/);
  });

  it('has a hook for pre-commit with the same command', async () => {
    const hook = await readFile(join(ROOT, '.pre-commit-hooks.yaml'), 'utf8');
    const [, entry] = /^ {2}entry: (.*)$/m.exec(hook);
    assert.equal(entry, 'lora-loupe check');
    const [program, ...words] = entry.split(' ');
    const check = (file) => spawnSync(join(folder, 'venv/bin', program), [...words, file], { cwd: folder }).status;
    assert.deepEqual([check('panda.safetensors'), check('broken.safetensors')], [0, 1]);
  });
});
