/**
 * Benchmarks the analyzer of the built page in headless Chromium on large synthetic files, with NumPy's times on the
 * same files, and prints times and memory as one JSON object.
 *
 *     node tests/bench/analyzer.mjs PATH_TO_TOOLS
 *
 * `cargo xtask bench --analyzer` builds what it needs and runs it. The peer computes all norms and singular values
 * natively with one BLAS thread; set PYTHON to a Python with NumPy.
 */
import { execFileSync, spawn } from 'node:child_process';
import { linkSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { launch } from '../browser/harness.mjs';
import { watch } from './memory.mjs';

const [, , tool, ...chosen] = process.argv;
/** Files: arguments of `bench_analyzer write`, number of rounds, and whether the file is read to its end. */
const FILES = [
  { name: 'SD 1.5 rank 128', make: ['sd15', '128'], rounds: Number(process.env.ROUNDS ?? 5), whole: true },
  { name: 'SDXL rank 128', make: ['sdxl', '128'], rounds: 3, whole: true },
  { name: 'SDXL rank 620, zeros', make: ['sdxl', '620', 'hollow'], rounds: 1, whole: false },
].filter(({ make }) => !chosen.length || chosen.includes(make.join('-')));
/** Time in ms after which a file that is not read to its end is abandoned. */
const WATCHED = 20_000;
/** Number of files in the folder. */
const MANY = 1000;
/** Time in ms until a page and its worker are idle. */
const SETTLED = 1500;

const spread = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return { min: sorted[0], median: sorted[sorted.length >> 1], max: sorted.at(-1) };
};

const folder = mkdtempSync(join(tmpdir(), 'lora-loupe-'));
const app = await launch();
const rows = [];
try {
  for (const { name, make, rounds, whole } of FILES) {
    const path = join(folder, `${make.join('-')}.safetensors`);
    execFileSync(tool, ['bench_analyzer', 'write', path, ...make]);
    const label = `${name} (${Math.round(statSync(path).size / 1e6)} MB)`;
    const peer = whole ? numpy(path) : null;
    const found = [];
    for (let round = 0; round < rounds; round++) {
      console.error(label);
      found.push({ ...(await read(path, whole)), peer: await peer?.() });
    }
    const times = (what) => spread(found.map((each) => each[what]));
    const row = (what, value) => rows.push({ group: 'analyzer', name: `${what}, ${label}, in Chromium`, ...value });
    row('verdict and coverage', { ours_ms: times('verdict') });
    row('first layers with their strength on the map', { ours_ms: times('map') });
    if (whole) {
      const ours_ms = times('layers');
      const peers = found[0].peer && { peer: 'numpy, native', peer_ms: times('peer') };
      row('all norms and singular values', {
        ours_ms,
        ...(peers && { ...peers, ratio: peers.peer_ms.median / ours_ms.median }),
      });
      row('these and all hashes', { ours_ms: times('read') });
    }
    if (found[0].bytes !== null)
      row('memory above the idle page, at most', { bytes: Math.max(...found.map(({ bytes }) => bytes)) });
    peer?.stop();
    rmSync(path);
  }
  if (!chosen.length) {
    const folder_ms = spread([await table(), await table(), await table()]);
    rows.push({
      group: 'analyzer',
      name: `a folder of ${MANY} files, by their headers, in Chromium`,
      ours_ms: folder_ms,
    });
  }
  console.log(JSON.stringify({ rows }));
} finally {
  rmSync(folder, { recursive: true, force: true });
  await app.close();
}

/** Drops a file on a new page; returns times since the drop and the peak memory of the page's process. */
async function read(path, whole) {
  const { page } = await app.open();
  page.setDefaultTimeout(0);
  await page.waitForFunction(() => document.querySelector('#file-picker'));
  await page.evaluate(() => {
    const seen = {};
    let start = 0;
    globalThis.marks = seen;
    document.addEventListener('change', () => (start = performance.now()), { capture: true, once: true });
    const look = () => {
      const mark = (name, selector) => {
        if (!(name in seen) && document.querySelector(selector)) seen[name] = performance.now() - start;
      };
      mark('verdict', '[data-testid=verdict]');
      mark('map', '[data-testid=coverage] .tile:not(.step-0)');
      if ('map' in seen) mark('layers', '[data-testid=coverage]:not(:has(.tile.step-0))');
      mark('read', '[data-testid=report][data-status=read]');
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await new Promise((done) => setTimeout(done, SETTLED));
  const memory = await watch(app.browser);
  await page.setInputFiles('#file-picker', path);
  const wanted = whole ? 'read' : 'map';
  await page.waitForFunction((name) => name in globalThis.marks, wanted);
  if (!whole) await new Promise((done) => setTimeout(done, WATCHED));
  const marks = await page.evaluate(() => globalThis.marks);
  const bytes = memory.stop();
  await page.context().close();
  return { ...marks, bytes };
}

/** Drops many files on a new page; returns the time until the last row of their table is complete. */
async function table() {
  const file = join(folder, 'one.safetensors');
  execFileSync(tool, ['bench_analyzer', 'write', file, 'sd15', '4']);
  const paths = Array.from({ length: MANY }, (_, at) => join(folder, `lora ${at}.safetensors`));
  for (const path of paths) linkSync(file, path);
  const { page } = await app.open();
  page.setDefaultTimeout(0);
  await page.waitForFunction(() => document.querySelector('#file-picker'));
  await new Promise((done) => setTimeout(done, SETTLED));
  await page.evaluate(() =>
    document.addEventListener('change', () => (globalThis.start = performance.now()), { capture: true, once: true }),
  );
  await page.setInputFiles('#file-picker', paths);
  await page.waitForSelector('[data-testid=folder][data-done=yes]');
  const ms = await page.evaluate(() => performance.now() - globalThis.start);
  await page.context().close();
  for (const path of [file, ...paths]) rmSync(path);
  return ms;
}

/** Starts NumPy in a separate process: each call computes once and returns the milliseconds; null without NumPy. */
function numpy(path) {
  const python = process.env.PYTHON ?? 'python3';
  try {
    execFileSync(python, ['-c', 'import numpy'], { stdio: 'ignore' });
  } catch {
    console.error('NumPy is not installed (set PYTHON to a Python that has it): rows have no peer');
    return null;
  }
  const child = spawn(python, [fileURLToPath(new URL('../make/bench_analyzer.py', import.meta.url)), path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const work = async () => {
    child.stdin.write('spectra\n');
    return Number((await lines.next()).value);
  };
  return Object.assign(work, { stop: () => child.kill() });
}
