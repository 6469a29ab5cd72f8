/**
 * Harness of the browser tests: dist/ in headless Chromium, served from a sub-path as by a static host.
 *
 * Run the tests with `cargo xtask test browser`, which sets CHROME_PATH; `--only NAME --repeat N --busy N` runs
 * matching files several times under CPU load.
 *
 * Tests wait for conditions, never for a fixed time: with Playwright's waits, which time out after STEP, with `until`,
 * or with `soon` around assertions. Every request to a page has a timeout, and a failing test prints what its pages showed.
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize, sep } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** Path of the built page on the test server; not the root, as on GitHub's project pages. */
export const SUB_PATH = '/some/sub/path/';
/** Context options for a page with its service worker. */
export const WITH_WORKER = { serviceWorkers: 'allow' };
/** An empty page of the same origin, for tests that need a browser but not the app. */
export const BLANK = '/blank.html';

/**
 * Timeout in ms for a step of the page on a busy machine, such as reading a file or starting the engine. Images take
 * longer.
 */
export const STEP = 120_000;
/** Default timeout in ms for code evaluated in a page: the engine's tests run for minutes. */
const CODE = 600_000;

const MIME = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.txt': 'text/plain; charset=utf-8',
  '.webmanifest': 'application/manifest+json',
};

const FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/**
 * Starts the server and the browser.
 *
 * @returns `open(path, options)` opens a page in a new context (separate storage, Playwright's context options) at a
 *   path of the server, by default the built app without its service worker, which would copy all of it for each
 *   context (pass WITH_WORKER for one), and returns it with its `errors`: messages of uncaught errors, console errors
 *   and failed requests. A page opened in a test is closed after the test; one opened before the tests of a suite, with
 *   the browser. `url` is the app's URL, `browser` is Playwright's. `stop()` stops the server only, `close()` both.
 *   `changed` maps paths of the server to strings or bytes that replace the files, null for no file; `headers` are added to all responses.
 * @param {string[]} flags additional flags for the browser
 * @param {number} patience timeout in ms for code evaluated in a page
 */
export async function launch(flags = [], patience = CODE) {
  const executablePath = process.env.CHROME_PATH;
  if (!executablePath) throw new Error('CHROME_PATH is not set: run `cargo xtask test browser`');
  /** @type {Map<string, string | Uint8Array | null>} */
  const changed = new Map();
  /** @type {Record<string, string>} */
  const headers = {};
  const server = await serve(changed, headers);
  const browser = await chromium.launch({ executablePath, headless: true, args: [...FLAGS, ...flags] });
  const origin = `http://127.0.0.1:${server.address().port}`;

  async function open(path = SUB_PATH, options = {}) {
    const context = await browser.newContext({ serviceWorkers: 'block', ...options });
    living.add(context);
    context.on('close', () => living.delete(context));
    context.on('page', (page) => careful(page, patience));
    context.setDefaultTimeout(STEP);
    const page = careful(await context.newPage(), patience);
    /** @type {string[]} */
    const errors = [];
    page.on('crash', () => errors.push('the page crashed'));
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
    page.on('requestfailed', (request) => {
      const why = request.failure()?.errorText;
      // Requests are aborted when a page is left.
      if (why !== 'net::ERR_ABORTED') errors.push(`${request.url()}: ${why}`);
    });
    await page.goto(origin + path);
    return { page, errors };
  }

  function stop() {
    server.closeAllConnections();
    server.close();
  }

  async function close() {
    await browser.close();
    stop();
  }

  return { browser, url: origin + SUB_PATH, changed, headers, open, stop, close };
}

/** Open contexts, and those that were opened before the running test. */
const living = new Set();
let before = new Set();

// Only under Node's test runner; the benchmarks of tests/bench/ open pages too.
if (process.env.NODE_TEST_CONTEXT) {
  beforeEach(() => void (before = new Set(living)));
  afterEach(async (test) => {
    for (const context of [...living]) {
      if (!test.passed) for (const page of context.pages()) test.diagnostic(`${test.name}: ${await shown(page)}`);
      if (!before.has(context)) await within(STEP, 'a page to close', context.close());
    }
  });
}

/**
 * Makes evaluated code in a page and its workers resolve in a separate task and within a timeout.
 *
 * Chromium's debugger held a weak reference to the promise that it awaits (V8 until July 2026): a promise that settles
 * in a task in which the page continues to generate may be collected before the debugger is notified ("Resulting
 * promise was garbage collected").
 */
function careful(target, patience) {
  if (answering.has(target)) return target;
  answering.add(target);
  const evaluate = target.evaluate.bind(target);
  target.evaluate = (code, argument) => {
    const asked = typeof code === 'function' ? Object.assign(() => {}, { toString: () => settling(code) }) : code;
    return within(patience, `code in a page: ${String(code).slice(0, 300)}`, evaluate(asked, argument));
  };
  target.on('worker', (worker) => careful(worker, patience));
  return target;
}
const answering = new WeakSet();

/** Returns the source of a function that returns what `code` returns; a promise settles in a separate task. */
function settling(code) {
  return `(argument) => {
    const settled = async (promise) => {
      try {
        return await promise;
      } finally {
        await new Promise((turn) => setTimeout(turn));
      }
    };
    const answer = (${code})(argument);
    return typeof answer?.then === 'function' ? settled(answer) : answer;
  }`;
}

/** Returns the result of a promise, or throws an error that says what was not reached in time. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise(
    (_, fail) => (timer = setTimeout(() => fail(new Error(`waited ${ms / 1000} s in vain for ${what}`)), ms)),
  );
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Polls until a result is truthy and returns it. */
export async function until(what, ask, { passes = Boolean, timeout = STEP } = {}) {
  for (const end = performance.now() + timeout; ;) {
    const answer = await ask();
    if (passes(answer)) return answer;
    if (performance.now() > end)
      throw new Error(`waited ${timeout / 1000} s in vain for ${what}; the last answer was ${JSON.stringify(answer)}`);
    await new Promise((next) => setTimeout(next, 50));
  }
}

/** Repeats assertions until they hold: what an action brings about may come later than the next line of a test. */
export async function soon(check, timeout = STEP) {
  for (const end = performance.now() + timeout; ;) {
    try {
      return await check();
    } catch (failure) {
      if (performance.now() > end) throw failure;
    }
    await new Promise((next) => setTimeout(next, 50));
  }
}

/** Describes a page for the output of a failed test. */
async function shown(page) {
  const look = () => {
    const texts = (selector, text) => [...document.querySelectorAll(selector)].map(text).join('; ') || 'none';
    const status = ({ dataset: { testid, file, status } }) => [testid, file, status].filter(Boolean).join(' ');
    return [
      `states: ${texts('[data-status]', status)}`,
      `alerts: ${texts('[role=alert]', ({ innerText }) => innerText)}`,
      document.body.innerText.slice(0, 2000),
    ].join('\n');
  };
  const told = await within(10_000, 'the page to say what it shows', page.evaluate(look)).catch(
    (error) => error.message,
  );
  return `the page at ${page.url()} showed\n${told}`;
}

/** Returns the engine's worker of a page. */
export function engineOf(page) {
  return until('the worker of the engine', () => page.workers()[0]);
}

/**
 * Drops files of the repository's tests/ folder on a page.
 *
 * @param {import('playwright-core').Page} page
 * @param {string[]} paths relative to tests/, such as 'golden/lora.safetensors'
 */
export async function drop(page, paths) {
  await page.evaluate(async (paths) => {
    const transfer = new DataTransfer();
    for (const path of paths) {
      const response = await fetch(`/tests/${path}`);
      if (!response.ok) throw new Error(`tests/${path}: ${response.status}`);
      transfer.items.add(new File([await response.blob()], path.split('/').at(-1)));
    }
    for (const type of ['dragenter', 'dragover', 'drop']) {
      const event = { dataTransfer: transfer, bubbles: true, cancelable: true, composed: true };
      document.body.dispatchEvent(new DragEvent(type, event));
    }
  }, paths);
}

/**
 * Serves one file, at `address` on another origin, with range requests. The first response stops after `most` bytes
 * until `cut()` closes the connection. `asked` lists range, cookie and referer of each request.
 */
export async function elsewhere(bytes, { most = Infinity } = {}) {
  const asked = [];
  let cut = () => {};
  const server = createServer((request, response) => {
    const shared = {
      'access-control-allow-origin': '*',
      'access-control-allow-headers': 'range',
      'access-control-expose-headers': 'content-range, etag',
      etag: '"one"',
    };
    if (request.method === 'OPTIONS') return response.writeHead(204, shared).end();
    const { range } = request.headers;
    asked.push({ range: range ?? '', cookie: request.headers.cookie, referer: request.headers.referer });
    const { start, end } = rangeOf(range, bytes.length);
    const headers = { ...shared, 'content-length': end - start + 1 };
    if (range) headers['content-range'] = `bytes ${start}-${end}/${bytes.length}`;
    response.writeHead(range ? 206 : 200, headers);
    if (asked.length > 1 || most === Infinity) return response.end(bytes.subarray(start, end + 1));
    response.write(bytes.subarray(0, most));
    cut = () => response.destroy();
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  server.unref(); // a test that fails before it closes it does not keep the run alive
  const close = () => (server.closeAllConnections(), server.close());
  return { address: `http://127.0.0.1:${server.address().port}/some/far.safetensors`, asked, cut: () => cut(), close };
}

/** Serves dist/ under SUB_PATH, tests/ under /tests/ and pkg/ under /pkg/ on a free port. */
async function serve(changed, headers) {
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    answer(request, response, changed).catch((error) => response.destroy(error));
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return server;
}

async function answer(request, response, changed) {
  const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
  if (changed.get(path) === null) return response.writeHead(404).end();
  if (changed.has(path)) {
    response.writeHead(200, { 'content-type': MIME[extname(path) || '.html'] ?? 'application/octet-stream' });
    return response.end(changed.get(path));
  }
  if (path === BLANK) {
    response.writeHead(200, { 'content-type': MIME['.html'] });
    return response.end('<!doctype html><meta charset="utf-8"><title>Blank</title><link rel="icon" href="data:,">');
  }
  const file = fileOf(path.endsWith('/') ? `${path}index.html` : path);
  const info = file && (await stat(file).catch(() => null));
  if (!info?.isFile()) return response.writeHead(404).end();

  const headers = {
    'content-type': MIME[extname(file)] ?? 'application/octet-stream',
    'accept-ranges': 'bytes',
  };
  const range = rangeOf(request.headers.range, info.size);
  if (range === null) return response.writeHead(416, { 'content-range': `bytes */${info.size}` }).end();
  if (request.headers.range) headers['content-range'] = `bytes ${range.start}-${range.end}/${info.size}`;
  headers['content-length'] = range.end - range.start + 1;
  response.writeHead(request.headers.range ? 206 : 200, headers);
  if (request.method === 'HEAD' || info.size === 0) return response.end();
  createReadStream(file, range)
    .on('error', (error) => response.destroy(error))
    .pipe(response);
}

/** Returns the file of a path of the server, or null outside the served folders. */
function fileOf(path) {
  for (const [prefix, folder] of [
    [SUB_PATH, 'dist'],
    ['/tests/', 'tests'],
    ['/pkg/', 'pkg'],
    ['/web/engine/', 'web/engine'],
  ]) {
    if (!path.startsWith(prefix)) continue;
    const base = join(ROOT, folder);
    const file = normalize(join(base, path.slice(prefix.length)));
    return file.startsWith(base + sep) ? file : null;
  }
  return null;
}

/** Returns the first and last byte of a Range header: the whole file without one, null for an unsatisfiable range. */
function rangeOf(header, size) {
  if (!header) return { start: 0, end: size - 1 };
  const [, first, last] = /^bytes=(\d*)-(\d*)$/.exec(header) ?? [];
  if (!first && !last) return null;
  const start = first ? Number(first) : Math.max(0, size - Number(last));
  const end = first && last ? Math.min(Number(last), size - 1) : size - 1;
  return start <= end ? { start, end } : null;
}
