/**
 * The GitHub Action, by the steps of action.yml in an empty folder with the lines of README.md, and the hook of pre-commit by
 * pre-commit itself. `cargo xtask test packages` sets WHEEL and PRE_COMMIT.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readAction, runAction } from './runner.mjs';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const GOOD = 'tests/corpus/files/kohya_lora_r4a1_fp16.safetensors';
const BAD = 'tests/hostile/truncated_data.safetensors';

let folder, action, given, env;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lora-loupe-action-'));
  action = readAction(await readFile(join(ROOT, 'action.yml'), 'utf8'));
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  const [, line] = /uses: OWNER\/lora-loupe@.*\n +with: \{ (.*) \}/.exec(readme);
  given = Object.fromEntries(line.split(', ').map((pair) => pair.split(': ')));
  const venv = spawnSync(process.env.PYTHON ?? 'python3', ['-m', 'venv', 'venv'], { cwd: folder, encoding: 'utf8' });
  assert.equal(venv.status, 0, venv.stderr);
  env = { ...process.env, PATH: join(folder, 'venv/bin') + delimiter + process.env.PATH };
  await mkdir(join(folder, 'loras'));
  await copyFile(join(ROOT, GOOD), join(folder, 'loras/panda.safetensors'));
});
after(() => rm(folder, { recursive: true, force: true }));

/** Runs the action as the workflow of the README asks for, with the package of this tree and other inputs. */
const run = (inputs = {}, more = {}) =>
  runAction(action, { ...given, package: process.env.WHEEL, ...inputs }, folder, { ...env, ...more });

describe('the action', () => {
  it('has the inputs that the README gives, with defaults', () => {
    assert.deepEqual(Object.keys(action.inputs), ['files', 'headers', 'strict', 'package']);
    assert.equal(action.inputs.package, 'lora-loupe');
    assert.deepEqual(given, { files: 'loras' });
    assert.deepEqual(
      action.steps.map(({ name }) => name),
      ['Install', 'Check'],
    );
  });

  it('passes good files and prints the table, also as the summary of the job', async () => {
    const summary = join(folder, 'summary.md');
    await writeFile(summary, '');
    const { status, stdout, stderr } = run({}, { GITHUB_STEP_SUMMARY: summary });
    assert.equal(status, 0, stderr);
    assert.match(stdout, /\| ok \| loras\/panda\.safetensors \| Stable Diffusion 1/);
    assert.equal(await readFile(summary, 'utf8'), stdout);
  });

  it('fails for a file with an error, by its header too', async () => {
    await copyFile(join(ROOT, BAD), join(folder, 'loras/broken.safetensors'));
    for (const headers of ['false', 'true']) {
      const { status, stdout } = run({ headers });
      assert.equal(status, 1);
      assert.match(stdout, /\*\*error\*\* \| loras\/broken\.safetensors/);
      assert.match(stdout, /1 of 2 files have errors/);
    }
    assert.equal(run({ files: 'loras/panda.safetensors' }).status, 0);
  });
});

describe('the hook of pre-commit', () => {
  /** Runs a program that must succeed. */
  function done(cwd, program, ...words) {
    const { status, stderr, error } = spawnSync(program, words, { cwd, encoding: 'utf8', env });
    assert.equal(status, 0, `${program} ${words.join(' ')}: ${error ?? stderr}`);
  }

  /** A repository of git with these files. */
  async function repository(name, files) {
    const at = join(folder, name);
    await mkdir(at);
    for (const [to, from] of files) await copyFile(from, join(at, to));
    for (const words of [
      ['init', '--quiet'],
      ['add', '.'],
    ])
      done(at, 'git', ...words);
    done(at, 'git', '-c', 'user.name=a', '-c', 'user.email=a@example.org', 'commit', '--quiet', '--message', 'a');
    return at;
  }

  it('passes good files and refuses a file with an error', async () => {
    const hooks = await repository('hooks', [['.pre-commit-hooks.yaml', join(ROOT, '.pre-commit-hooks.yaml')]]);
    const project = await repository('project', [['panda.safetensors', join(ROOT, GOOD)]]);
    const told = () => {
      const words = ['try-repo', hooks, 'lora-loupe', '--all-files'];
      return spawnSync(process.env.PRE_COMMIT, words, { cwd: project, encoding: 'utf8', env });
    };
    const good = told();
    assert.equal(good.status, 0, good.stdout + good.stderr);
    assert.match(good.stdout, /LoRA Loupe\.+Passed/);
    await copyFile(join(ROOT, BAD), join(project, 'broken.safetensors'));
    done(project, 'git', 'add', '.');
    const bad = told();
    assert.equal(bad.status, 1);
    assert.match(bad.stdout, /\*\*error\*\* \| broken\.safetensors/);
  });
});
