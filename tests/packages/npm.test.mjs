/**
 * The npm package, installed from its tarball in an empty project: under Node, in a page of Chromium, in a worker, and by
 * the compiler of TypeScript. `cargo xtask test packages` sets NPM_TARBALL, LORA_LOUPE and CHROME_PATH.
 */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { copyFile, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { basename, extname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const ADAPTER = join(ROOT, 'tests/corpus/files/kohya_lora_r4a1_fp16.safetensors');
const BROKEN = join(ROOT, 'tests/hostile/missing_up.safetensors');
/** What the entry `lora-loupe/inspect` loads may weigh, in bytes of gzip. */
const MOST = 450_000;
const MIME = { '.html': 'text/html', '.js': 'text/javascript', '.wasm': 'application/wasm' };

let project, origin, server, browser;
/** The ranges that were asked of the adapter. */
const ranges = [];

before(async () => {
  project = await mkdtemp(join(tmpdir(), 'lora-loupe-npm-'));
  await writeFile(join(project, 'package.json'), '{ "name": "empty", "type": "module", "private": true }');
  const install = ['install', '--no-audit', '--no-fund', '--offline', process.env.NPM_TARBALL];
  execFileSync('npm', install, { cwd: project, stdio: 'inherit' });
  await copyFile(ADAPTER, join(project, 'panda.safetensors'));
  await copyFile(BROKEN, join(project, 'broken.safetensors'));
  server = createServer(serve).listen(0, '127.0.0.1');
  await new Promise((ready) => server.once('listening', ready));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await chromium.launch({ executablePath: process.env.CHROME_PATH, args: ['--no-sandbox'] });
});

after(async () => {
  await browser?.close();
  server?.closeAllConnections();
  server?.close();
  await rm(project, { recursive: true, force: true });
});

/** A static host with range requests. */
async function serve(request, response) {
  const path = join(project, new URL(request.url, origin).pathname);
  const size = await stat(path).then(
    (data) => data.size,
    () => -1,
  );
  if (size < 0) return response.writeHead(404).end();
  const type = { 'content-type': MIME[extname(path)] ?? 'application/octet-stream' };
  const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (!start) return createReadStream(path).pipe(response.writeHead(200, type));
  const last = Math.min(Number(end), size - 1);
  ranges.push(last + 1 - Number(start));
  response.writeHead(206, { ...type, 'content-range': `bytes ${start}-${last}/${size}` });
  createReadStream(path, { start: Number(start), end: last }).pipe(response);
}

/** The adapters and broken files of the tests. */
async function adapters() {
  const found = await Promise.all(
    ['tests/corpus/files', 'tests/hostile'].map((folder) => readdir(join(ROOT, folder), { recursive: true })),
  );
  const files = [
    ...found[0].map((file) => join('corpus/files', file)),
    ...found[1].map((file) => join('hostile', file)),
  ];
  const isAdapter = (file) => /\.(safetensors|pt|bin|ckpt|gguf)$/.test(file);
  return files.filter(isAdapter).map((file) => join(ROOT, 'tests', file));
}

/** The fields in which two reports differ; numbers may by the rounding of f32. */
function differences(a, b, path = '') {
  if (typeof a === 'number' && typeof b === 'number')
    return Math.abs(a - b) <= 1e-6 * Math.max(Math.abs(a), Math.abs(b)) ? [] : [`${path}: ${a} instead of ${b}`];
  if (typeof a !== 'object' || typeof b !== 'object' || !a || !b)
    return a === b ? [] : [`${path}: ${JSON.stringify(a)} instead of ${JSON.stringify(b)}`];
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].flatMap((key) => differences(a[key], b[key], `${path}/${key}`));
}

/** Runs a module in the empty project and returns what it logs, as JSON; this process serves it meanwhile. */
async function inNode(code) {
  await writeFile(join(project, 'run.js'), code);
  const { stdout } = await promisify(execFile)('node', ['run.js'], { cwd: project, maxBuffer: 1 << 28 });
  return JSON.parse(stdout);
}

describe('the npm package', () => {
  it('is small where only reports are wanted', async () => {
    const folder = join(project, 'node_modules/lora-loupe');
    const files = ['inspect.js', 'source.js', 'wasm.js', 'wasm/report.js', 'wasm/report_bg.wasm'];
    const sizes = await Promise.all(
      files.map(async (file) => gzipSync(await readFile(join(folder, file)), { level: 9 })),
    );
    const total = sizes.reduce((sum, { length }) => sum + length, 0);
    console.log(`lora-loupe/inspect: ${total} bytes of gzip`);
    assert.ok(total <= MOST, `${total} bytes of gzip`);
  });

  it('inspects bytes, Blobs and addresses under Node', async () => {
    ranges.length = 0;
    const reports = await inNode(`
      import { readFile } from 'node:fs/promises';
      import { inspect } from 'lora-loupe/inspect';
      const bytes = await readFile('panda.safetensors');
      const address = '${origin}/panda.safetensors';
      const reports = await Promise.all([
        inspect(bytes),
        inspect(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), { name: 'panda.safetensors' }),
        inspect(new Blob([bytes])),
        inspect(address),
        inspect(new URL(address), { headers: true }),
        inspect(new Blob(['<!DOCTYPE html><html></html>'])),
        inspect('${origin}/none').catch((error) => error.message),
      ]);
      console.log(JSON.stringify(reports));`);
    const [bytes, buffer, blob, remote, header, html, none] = reports;
    assert.equal(bytes.base.family, 'sd15');
    assert.equal(bytes.signature.values.length, 64);
    for (const report of [buffer, blob, remote]) assert.deepEqual({ ...report, file: '' }, { ...bytes, file: '' });
    assert.equal(remote.file, 'panda.safetensors');
    assert.equal(header.headers_only, true);
    assert.equal(header.base.family, 'sd15');
    assert.equal(html.kind, 'html');
    assert.match(none, /404/);
    assert.ok(ranges.length > 2);
  });

  it('has the reports of the command line, whole, for every file of the corpus', async () => {
    const paths = await adapters();
    const options = { encoding: 'utf8', maxBuffer: 1 << 28 };
    const { stdout } = spawnSync(process.env.LORA_LOUPE, ['inspect', '--json', ...paths], options);
    const expected = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const reports = await inNode(`
      import { openAsBlob } from 'node:fs';
      import { readFile } from 'node:fs/promises';
      import { basename, dirname, join } from 'node:path';
      import { inspect } from 'lora-loupe/inspect';
      const reports = [];
      for (const path of ${JSON.stringify(paths)}) {
        const config = await readFile(join(dirname(path), 'adapter_config.json'), 'utf8').catch(() => undefined);
        reports.push(await inspect(await openAsBlob(path), { name: basename(path), config }));
      }
      console.log(JSON.stringify(reports));`);
    assert.equal(reports.length, paths.length);
    assert.ok(paths.length > 100, `${paths.length} files`);
    const others = paths.filter((path, at) => {
      const list = differences(reports[at], expected[at]);
      if (list.length > 0) console.log(path, list);
      return list.length > 0;
    });
    // An axis of 2^40 is refused by itself where lengths have 32 bits, and with its shape where they have 64.
    assert.deepEqual(others.map((path) => basename(path)).sort(), [
      'huge_shape.safetensors',
      'huge_shape_overflow.safetensors',
    ]);
  });

  it('does what its README says, under Node and in a page', async () => {
    const readme = await readFile(join(project, 'node_modules/lora-loupe/README.md'), 'utf8');
    const [lines, html] = ['js', 'html'].map(
      (kind) => new RegExp(`^\`{3}${kind}\\n([\\s\\S]*?)^\`{3}$`, 'm').exec(readme)[1],
    );
    await writeFile(join(project, 'run.js'), lines.replace('https://example.org', origin));
    const { stdout } = await promisify(execFile)('node', ['run.js'], { cwd: project });
    assert.match(stdout, /LoRA.* for Stable Diffusion 1/);
    await writeFile(join(project, 'readme.html'), `<!DOCTYPE html><meta charset="utf-8">${html}`);
    const page = await browser.newPage();
    await page.goto(`${origin}/readme.html`);
    await page.locator('lora-loupe article').getByText('Base model').waitFor({ timeout: 120_000 });
    await page.close();
  });

  it('edits files with the whole engine under Node', async () => {
    const [preview] = await inNode(`
      import { readFile } from 'node:fs/promises';
      import { inspector, placeOf } from 'lora-loupe/engine';
      const place = await placeOf(await readFile('panda.safetensors'), { name: 'panda.safetensors' });
      const edit = { kind: 'convert', to: 'peft' };
      console.log(JSON.stringify([await (await inspector()).preview_edit(edit, [place], () => {})]));`);
    assert.equal(preview.kind, 'convert');
  });

  it('shows the card of a file in a page, in the language of the page', async () => {
    const card = (src, lang) => `<lora-loupe src="${src}" lang="${lang}"></lora-loupe>`;
    const html = `<!DOCTYPE html><html lang="en"><meta charset="utf-8">
      <script type="module" src="/node_modules/lora-loupe/element.js"></script>
      ${card('panda.safetensors', 'en')}${card('broken.safetensors', 'de')}${card('none.safetensors', 'zh-CN')}`;
    await writeFile(join(project, 'index.html'), html);
    const page = await browser.newPage();
    const errors = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(`${origin}/index.html`);
    const cards = page.locator('lora-loupe article');
    await cards.nth(0).getByText('Base model').waitFor({ timeout: 120_000 });
    assert.match(await cards.nth(0).innerText(), /Stable Diffusion 1\.x/);
    await cards.nth(1).getByText('Basismodell').waitFor({ timeout: 120_000 });
    assert.ok((await cards.nth(1).locator('ul.problems li').count()) > 0);
    await cards.nth(2).getByText('404').waitFor({ timeout: 120_000 });
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
    const first = page.locator('lora-loupe').first();
    await first.evaluate((element) => element.setAttribute('src', 'broken.safetensors'));
    await cards.nth(0).locator('ul.problems li').first().waitFor({ timeout: 120_000 });
    assert.deepEqual(errors, []);
    await page.close();
  });

  it('runs in a worker', async () => {
    await writeFile(
      join(project, 'worker.js'),
      `import { inspect } from './node_modules/lora-loupe/inspect.js';
       onmessage = async ({ data }) => postMessage((await inspect(data)).base.family);`,
    );
    const page = await browser.newPage();
    await page.goto(`${origin}/worker.js`);
    const family = await page.evaluate(async () => {
      const blob = await (await fetch('/panda.safetensors')).blob();
      const worker = new Worker('/worker.js', { type: 'module' });
      return new Promise((told, failed) => {
        worker.onmessage = ({ data }) => told(data);
        worker.onerror = ({ message }) => failed(new Error(message));
        worker.postMessage(blob);
      });
    });
    assert.equal(family, 'sd15');
    await page.close();
  });

  it('has types', async () => {
    const code = `
      import { inspect, type Report } from 'lora-loupe/inspect';
      import { inspector } from 'lora-loupe/engine';
      import type { LoraLoupe } from 'lora-loupe/element';
      const report: Report = await inspect(new Blob([]), { headers: true, name: 'a' });
      const family: string = report.base.family;
      const card: LoraLoupe = document.createElement('lora-loupe');
      export const all = [family, card.report?.verdict.text, (await inspector()).stop_edit()];
      // @ts-expect-error a number is no file
      await inspect(1);`;
    await writeFile(join(project, 'use.ts'), code);
    const options = ['--noEmit', '--strict', '--target', 'esnext', '--module', 'nodenext', '--types', '', 'use.ts'];
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    execFileSync('node', [tsc, ...options], { cwd: project, stdio: 'inherit' });
  });
});
