/**
 * Runs a wasm32-wasip1 test binary in Node and exits with its exit code: Cargo's runner for the target. WASI has no
 * threads, so the tests are divided among as many processes as there are cores.
 *
 *     node --no-warnings tests/harness/wasi.mjs TEST.wasm [arguments of the test binary]
 */
import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { argv, env, execArgv, execPath, exit } from 'node:process';
import { createInterface } from 'node:readline';
import { WASI } from 'node:wasi';

/** Marks a process that runs a share of the tests. */
const SHARE = 'LORA_LOUPE_SHARE_OF_TESTS';

const [script, file, ...rest] = argv.slice(1);
exit(env[SHARE] ? await start(rest) : await divide());

/** Runs the binary with these arguments, its standard output going to `stdout`, and returns its exit code. */
async function start(args, stdout = 1) {
  const wasi = new WASI({
    version: 'preview1',
    args: [file, ...args],
    env,
    preopens: { '/': '/' },
    returnOnExit: true,
    stdout,
  });
  const { instance } = await WebAssembly.instantiate(await readFile(file), wasi.getImportObject());
  return wasi.start(instance);
}

/** Runs the tests in several processes and returns the first exit code that is not 0. */
async function divide() {
  const names = await list();
  const count = Math.max(1, Math.min(availableParallelism(), names.length));
  const shares = Array.from({ length: count }, (_, share) => names.filter((_, index) => index % count === share));
  const codes = await Promise.all(shares.map((share) => run(share.length ? ['--exact', ...share] : [])));
  return codes.find((code) => code !== 0) ?? 0;
}

/** Lists the tests that the arguments select; none for a binary without libtest. */
async function list() {
  const folder = mkdtempSync(join(tmpdir(), 'tests-'));
  try {
    const path = join(folder, 'names');
    const stdout = openSync(path, 'w');
    await start([...rest, '--list', '--format=terse'], stdout);
    closeSync(stdout);
    return [...readFileSync(path, 'utf8').matchAll(/^(.+): test$/gm)].map(([, name]) => name);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Runs a share of the tests, prints its lines whole, and returns its exit code. */
async function run(share) {
  const options = rest.filter((argument) => argument.startsWith('-'));
  const child = spawn(execPath, [...execArgv, script, file, ...options, ...share], {
    env: { ...env, [SHARE]: '1' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = new Promise((resolve) => child.on('close', (code) => resolve(code ?? 1)));
  for await (const line of createInterface({ input: child.stdout })) console.log(line);
  return ended;
}
