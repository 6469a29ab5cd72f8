/** Requests of a first visit to the built page, and their size. */
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { BLANK, SUB_PATH, until } from './harness.mjs';

/** Folder of the built page. */
export const DIST = fileURLToPath(new URL('../../dist/', import.meta.url));

/**
 * Returns the total size of files of dist/, each compressed with gzip as a host sends them.
 * @param {Iterable<string>} names
 */
export function zipped(names) {
  return [...names].reduce((sum, name) => sum + gzipSync(readFileSync(DIST + name)).length, 0);
}

/**
 * Returns the files of dist/ that the page and its workers request on a first visit, until the network is idle, without
 * those that the service worker then fetches for offline use.
 *
 * @param {Awaited<ReturnType<typeof import('./harness.mjs').launch>>} site
 */
export async function firstVisit(site) {
  const { page } = await site.open(BLANK);
  const asked = new Set();
  page.context().on('request', (request) => asked.add(request.url()));
  await page.goto(site.url);
  await page.waitForSelector('#try-demo');
  const names = () =>
    [...asked]
      .filter((url) => url.startsWith(site.url))
      .map((url) => new URL(url).pathname.slice(SUB_PATH.length) || 'index.html');
  const has = (end) => names().some((name) => name.endsWith(end));
  await until('the engine and the list of the demo to be asked for', () => has('.wasm') && has('demo.json'));
  await page.waitForLoadState('networkidle');
  const foreign = [...asked].filter((url) => !url.startsWith(site.url) && !url.startsWith('blob:'));
  if (foreign.length) throw new Error(`a first visit asks elsewhere: ${foreign.join(' ')}`);
  await page.context().close();
  return [...new Set(names())].filter((name) => statSync(DIST + name).isFile());
}
