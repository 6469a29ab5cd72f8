/**
 * Benchmarks the engine in headless Chromium and onnxruntime-web, and the loading of the page; prints one JSON object.
 *
 * `cargo xtask bench --browser` builds what it needs and runs it.
 */
import { readdirSync, statSync } from 'node:fs';
import { DIST, firstVisit, zipped } from '../browser/first-visit.mjs';
import { BLANK, SUB_PATH, launch } from '../browser/harness.mjs';
import { PEERS } from './peers.mjs';
import { inputValues } from './values.mjs';

/** Loads of the page. */
const ROUNDS = 5;

const spread = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return { min: sorted[0], median: sorted[sorted.length >> 1], max: sorted.at(-1) };
};
const say = (text) => console.error(text);

const app = await launch();
// Threads of WebAssembly need a page that is isolated from other origins.
app.headers['cross-origin-opener-policy'] = 'same-origin';
app.headers['cross-origin-embedder-policy'] = 'require-corp';
const rows = [];
try {
  const { page } = await app.open(BLANK);
  page.setDefaultTimeout(0);
  const { isolated } = await page.evaluate(async () => {
    globalThis.bench = await import('/tests/bench/page.js');
    return bench.start();
  });
  if (!isolated) throw new Error('the page is not isolated: the peer has no threads');
  rows.push(...(await page.evaluate(() => bench.roof())));
  for (const name of await page.evaluate(() => bench.names())) {
    say(name);
    // On the processor, our engine uses Winograd's algorithm by itself.
    const served = PEERS[name] && serve(PEERS[name]());
    const row = await page.evaluate(([name, peer]) => bench.row(name, peer), [name, served]);
    say(JSON.stringify({ ours: row.ours, peer: row.peer }));
    rows.push(row);
  }
  for (const device of ['gpu', 'cpu']) {
    say(`the demo model: ${device}`);
    rows.push(...(await page.evaluate(([root, device]) => bench.demo(root, device), [`${SUB_PATH}demo/`, device])));
  }
  const adapter = await page.evaluate(() => bench.adapter());
  await page.context().close();
  rows.push(...(await weight()));
  console.log(JSON.stringify({ adapter, rows }));
} finally {
  await app.close();
}

/** Serves models and the values of their inputs; returns their addresses. */
function serve(models) {
  const put = (name, bytes) => (app.changed.set(`/bench/${name}`, bytes), `/bench/${name}`);
  const [{ inputs, output }] = models;
  return {
    output,
    models: models.map(({ bytes }, index) => put(`${index}.onnx`, bytes)),
    inputs: inputs.map(({ name, dims }) => ({
      ...{ name, dims },
      file: put(`${name}.f32`, new Uint8Array(inputValues(name, dims).buffer)),
    })),
  };
}

/** Returns the compressed sizes of dist/ and the time until the page accepts a file. */
async function weight() {
  const files = readdirSync(DIST, { recursive: true }).filter((name) => statSync(DIST + name).isFile());
  const isDemo = (name) => name.startsWith('demo');
  const bytes = (name, value) => ({ group: 'page', name, bytes: value });
  const times = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { page } = await app.open();
    const ready = page.waitForFunction(() => document.querySelector('input[type=file]'));
    await ready;
    times.push(await page.evaluate(() => performance.now()));
    await page.context().close();
  }
  return [
    bytes('what a first visit asks for, gzip', zipped(await firstVisit(app))),
    bytes('engine alone, gzip', zipped(files.filter((name) => name.endsWith('.wasm')))),
    bytes('all that is kept for offline use but the demo, gzip', zipped(files.filter((name) => !isDemo(name)))),
    bytes('demo model and its LoRAs, gzip', zipped(files.filter(isDemo))),
    { group: 'page', name: 'time until a file can be dropped', ours_ms: spread(times) },
  ];
}
