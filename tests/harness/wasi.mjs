/**
 * Runs a wasm32-wasip1 test binary in Node and exits with its exit code: Cargo's runner for the target.
 *
 *     node --no-warnings tests/harness/wasi.mjs TEST.wasm [arguments of the test binary]
 */
import { readFile } from 'node:fs/promises';
import { argv, env, exit } from 'node:process';
import { WASI } from 'node:wasi';

const [file, ...rest] = argv.slice(2);
const wasi = new WASI({ version: 'preview1', args: [file, ...rest], env, preopens: { '/': '/' }, returnOnExit: true });
const { instance } = await WebAssembly.instantiate(await readFile(file), wasi.getImportObject());
exit(wasi.start(instance));
