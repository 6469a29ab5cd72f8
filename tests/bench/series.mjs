/**
 * Benchmarks a training run of large files on the built page in headless Chromium:
 *
 *     python tests/make/series_large.py FOLDER 40 && node tests/bench/series.mjs FOLDER
 *
 * prints the seconds from the choice of the files to the table, the first chart and the last number, the processor time
 * of the page's process until then, which does not depend on what else the machine does, and its peak memory above idle. CHROME_PATH names the browser, as in the tests.
 */
import { readdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { launch } from '../browser/harness.mjs';
import { watch } from './memory.mjs';

const [, , folder] = process.argv;
const paths = readdirSync(folder).map((name) => join(folder, name));
/** Time in ms until a page and its worker are idle. */
const SETTLED = 1500;

const app = await launch();
try {
  const { page, errors } = await app.open();
  page.setDefaultTimeout(0);
  await page.waitForFunction(() => document.querySelector('#file-picker'));
  await page.evaluate(() => {
    const seen = {};
    let start = 0;
    globalThis.marks = seen;
    document.addEventListener('change', () => (start = performance.now()), { capture: true, once: true });
    const marks = {
      table: '[data-testid=folder][data-done=yes]',
      chart: '[data-testid=series][data-summarized=yes] .series-chart',
      read: '[data-testid=series][data-status=read]',
    };
    const look = () => {
      for (const [name, selector] of Object.entries(marks))
        if (!(name in seen) && document.querySelector(selector)) seen[name] = (performance.now() - start) / 1000;
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  await new Promise((done) => setTimeout(done, SETTLED));
  const memory = await watch(app.browser);
  const before = loadavg()[0];
  await page.setInputFiles('#file-picker', paths);
  await page.waitForFunction(() => 'read' in globalThis.marks);
  const marks = await page.evaluate(() => globalThis.marks);
  const processor = memory.worked() / 1000;
  const megabytes = Math.round(memory.stop() / 1e6);
  console.log(
    JSON.stringify({ files: paths.length, ...marks, processor, megabytes, load: [before, loadavg()[0]], errors }),
  );
} finally {
  await app.close();
}
