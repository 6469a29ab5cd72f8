/**
 * Benchmarks the engine in headless Chromium and onnxruntime-web, and the loading of the page; prints one JSON object.
 *
 * `cargo xtask bench --browser` builds what it needs and runs it.
 */
import { readdirSync, statSync } from 'node:fs';
import { DIST, firstVisit, zipped } from '../browser/first-visit.mjs';
import { BLANK, SUB_PATH, launch } from '../browser/harness.mjs';
import { PEERS } from './peers.mjs';

const ROUNDS = 5;
/** Maximum relative distance of two correct f32 results. */
const LIKE = 1e-5;

const spread = (times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return { min: sorted[0], median: sorted[sorted.length >> 1], max: sorted.at(-1) };
};
const say = (text) => console.error(text);

const app = await launch();
const rows = [];
try {
  const { page } = await app.open(BLANK);
  page.setDefaultTimeout(0);
  await page.evaluate(async () => {
    globalThis.bench = await import('/tests/bench/page.js');
    await bench.start();
  });
  const peerName = await page.evaluate(() => bench.peer());
  rows.push(...(await page.evaluate(() => bench.roof())));
  for (const name of await page.evaluate(() => bench.names())) {
    say(name);
    const peer = PEERS[name];
    const found = await page.evaluate(
      ([name, peer, rounds]) => bench.kernel(name, peer, rounds),
      [name, peer && { ...peer, model: { ...peer.model, bytes: [...peer.model.bytes] } }, ROUNDS],
    );
    const peer_ms = found.times && spread(found.times);
    // Times are comparable only if the results agree.
    if (found.distance > LIKE) throw new Error(`${name}: the peer's result differs by ${found.distance}`);
    rows.push({
      ...found.row,
      ...(peer_ms && {
        peer: peerName,
        peer_ms,
        peer_distance: found.distance,
        ratio: peer_ms.median / found.row.ours_ms.median,
      }),
    });
  }
  say('the demo model');
  rows.push(...(await page.evaluate((root) => bench.demo(root), `${SUB_PATH}demo/`)));
  rows.push(...(await weight()));
  console.log(JSON.stringify({ adapter: await page.evaluate(() => bench.adapter()), rows }));
} finally {
  await app.close();
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
