/**
 * The library never calls a file whole that is not: cut connections, kills in the middle of a write, hashes given
 * later.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { beforeEach, it } from 'node:test';

/** The private file system, in memory; `kill(n)` throws at the nth write from now on, as a closed tab would. */
class Folder {
  entriesByName = new Map();
  async getDirectoryHandle(name, { create = false } = {}) {
    if (!this.entriesByName.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.entriesByName.set(name, new Folder());
    }
    return this.entriesByName.get(name);
  }
  async getFileHandle(name, { create = false } = {}) {
    if (!this.entriesByName.has(name)) {
      if (!create) throw new DOMException(name, 'NotFoundError');
      this.entriesByName.set(name, new Handle());
    }
    return this.entriesByName.get(name);
  }
  async removeEntry(name) {
    if (!this.entriesByName.delete(name)) throw new DOMException(name, 'NotFoundError');
  }
  async *entries() {
    yield* this.entriesByName;
  }
}

let left = Infinity;
/** What writing throws then. */
let fault = () => new Error('killed');
const step = () => {
  if (left-- <= 0) throw fault();
};

class Handle {
  bytes = new Uint8Array();
  getFile = async () => new File([this.bytes], 'data');
  async createSyncAccessHandle() {
    return {
      truncate: (size) => (
        step(),
        void (this.bytes = Uint8Array.from({ length: size }, (_, at) => this.bytes[at] ?? 0))
      ),
      write: (piece, { at }) => {
        step();
        const grown = new Uint8Array(Math.max(this.bytes.length, at + piece.length));
        grown.set(this.bytes);
        grown.set(piece, at);
        this.bytes = grown;
      },
      read: (piece, { at }) => void piece.set(this.bytes.subarray(at, at + piece.length)),
      flush() {},
      close() {},
    };
  }
}

let root;
let quota = 1e9;
Object.defineProperty(globalThis, 'navigator', {
  configurable: true,
  value: {
    storage: { getDirectory: async () => root, estimate: async () => ({ quota, usage: 0 }) },
    locks: { request: async (_name, _options, act) => act({}) },
  },
});
const waiting = new Map();
Object.assign(globalThis, {
  self: globalThis,
  name: JSON.stringify({ language: 'en', origin: 'https://host.example', typed: false }),
  location: { href: 'https://page.example/assets/library-worker.js' },
  postMessage: (reply) => {
    if (!('result' in reply) && !('error' in reply)) return;
    waiting.get(reply.id)?.(reply);
  },
});
await import('../../web/library/library-worker.js');
const { list, open } = await import('../../web/library/opfs.js');
const { scoped } = await import('../../web/core/scope.js');
const LIBRARY = scoped('library');

let count = 0;
/** Asks the worker, and returns its result or throws its error. */
async function ask(call, args) {
  const id = ++count;
  const reply = new Promise((resolve) => waiting.set(id, resolve));
  globalThis.onmessage({ data: { id, call, args } });
  const { error } = await reply;
  if (error) throw error;
}

const BYTES = new Uint8Array(1000).map((_, at) => at);
const SHA = createHash('sha256').update(BYTES).digest('hex');
const what = { key: 'k', name: 'a.safetensors', address: 'https://host.example/a.safetensors', wanted: '' };

/**
 * The server gives `bytes` in four pieces, and cuts the connection after `most`; without an iterator, as Safari's
 * streams.
 */
function serve(bytes, { most = Infinity, ranges = true, length = bytes.length } = {}) {
  globalThis.fetch = async (_address, { headers }) => {
    const from = ranges ? Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0) : 0;
    let at = from;
    const body = new ReadableStream({
      pull(controller) {
        if (at >= Math.min(bytes.length, most))
          return at < bytes.length ? controller.error(new TypeError('network error')) : controller.close();
        controller.enqueue(bytes.slice(at, Math.min(at + 250, most)));
        at += 250;
      },
    });
    Object.defineProperty(body, Symbol.asyncIterator, { value: undefined });
    const more =
      headers.range && ranges ? { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` } : {};
    const response = new Response(null, {
      status: 200,
      headers: { 'content-length': String(length - from), etag: '"one"', ...more },
    });
    return Object.defineProperties(response, {
      body: { value: body },
      status: { value: headers.range && ranges ? 206 : 200 },
    });
  };
}

beforeEach(() => {
  root = new Folder();
  left = Infinity;
  quota = 1e9;
  fault = () => new Error('killed');
});

it('keeps a download once it is whole, without an iterator over streams', async () => {
  serve(BYTES);
  await ask('download', { ...what, wanted: SHA });
  assert.deepEqual(await list(), [
    { key: 'k', name: 'a.safetensors', address: what.address, sha256: SHA, size: 1000, received: 1000 },
  ]);
  assert.deepEqual(new Uint8Array(await (await open('k')).arrayBuffer()), BYTES);
});

it('goes on with a download that was cut off', async () => {
  serve(BYTES, { most: 500 });
  await assert.rejects(ask('download', what));
  const [part] = await list();
  assert.deepEqual([part.sha256, part.received, part.size], ['', 500, 1000]);
  await assert.rejects(open('k'));
  serve(BYTES);
  await ask('download', what);
  assert.equal((await list())[0].sha256, SHA);
});

it('keeps what is whole while the same address is downloaded again, and when that is cut off', async () => {
  serve(BYTES);
  await ask('download', what);
  serve(
    BYTES.map((byte) => byte + 1),
    { most: 500 },
  );
  await assert.rejects(ask('download', what));
  assert.deepEqual(new Uint8Array(await (await open('k')).arrayBuffer()), BYTES);
  assert.equal((await list())[0].sha256, SHA);
  const other = BYTES.map((byte) => byte + 1);
  serve(other);
  await ask('download', what);
  assert.deepEqual(new Uint8Array(await (await open('k')).arrayBuffer()), other);
});

it('checks a hash that is given later', async () => {
  serve(BYTES);
  await ask('download', what);
  await assert.rejects(ask('download', { ...what, wanted: 'f'.repeat(64) }), { message: /SHA-256/ });
  assert.equal((await list())[0].sha256, SHA, 'what is whole stays');
});

it('takes the length of a compressed transfer for what it is', async () => {
  serve(BYTES, { ranges: false, length: 400 });
  await ask('download', what);
  assert.equal((await list())[0].size, 1000);
});

it('has after a kill at any moment a file that is whole, or one that is not called so', async () => {
  serve(BYTES);
  await ask('download', what);
  const first = structuredClone(await (await open('k')).arrayBuffer());
  const other = BYTES.map((byte) => 255 - byte);
  for (let at = 0; at < 40; at++) {
    serve(other);
    left = at;
    const killed = await ask('download', what).then(
      () => false,
      () => true,
    );
    left = Infinity;
    const [item] = await list();
    assert.ok(item, `nothing is listed after a kill at ${at}`);
    if (!item.sha256) continue;
    const bytes = new Uint8Array(await (await open('k')).arrayBuffer());
    assert.equal(createHash('sha256').update(bytes).digest('hex'), item.sha256, `after a kill at ${at}`);
    if (!killed) break;
    assert.ok(bytes.length === first.byteLength);
  }
});

it('lists what cannot be read as incomplete, and begins it anew', async () => {
  serve(BYTES);
  await ask('download', what);
  const dir = await (await root.getDirectoryHandle(LIBRARY)).getDirectoryHandle('k');
  for (const name of ['about.json', 'about.new'])
    (await dir.getFileHandle(name)).bytes = new TextEncoder().encode('{"name": "a');
  const [item] = await list();
  assert.deepEqual([item.key, item.sha256, item.received], ['k', '', 1000]);
  await assert.rejects(open('k'));
  await ask('download', what);
  assert.equal((await list())[0].sha256, SHA);
});

it('reads folders of earlier versions: whole ones, and ones to go on with', async () => {
  const library = await root.getDirectoryHandle(LIBRARY, { create: true });
  const dir = await library.getDirectoryHandle('k', { create: true });
  const write = async (name, bytes) => void ((await dir.getFileHandle(name, { create: true })).bytes = bytes);
  const about = { name: what.name, address: what.address, wanted: '', sha256: '', size: 1000, etag: '"one"' };
  await write('about.json', new TextEncoder().encode(JSON.stringify(about)));
  await write('data', BYTES.slice(0, 500));
  assert.deepEqual(
    (await list()).map(({ size, received, sha256 }) => [size, received, sha256]),
    [[1000, 500, '']],
  );
  serve(BYTES);
  await ask('download', what);
  assert.equal((await list())[0].sha256, SHA);
  await write('about.json', new TextEncoder().encode(JSON.stringify({ ...about, sha256: SHA })));
  await write('data', BYTES);
  assert.equal((await open('k')).size, 1000);
});

it('says that the disk is full, before or while it writes, and keeps what is whole', async () => {
  serve(BYTES);
  await ask('download', what);
  const other = BYTES.map((byte) => 255 - byte);
  serve(other);
  quota = 999;
  await assert.rejects(ask('download', what), { kind: 'library', message: /needs 1.0 KB, but only 999 bytes/ });
  quota = 1e9;
  fault = () => new DOMException('full', 'QuotaExceededError');
  const said = new Set();
  for (let writes = 0; (await list())[0].sha256 === SHA; writes++) {
    assert.deepEqual(new Uint8Array(await (await open('k')).arrayBuffer()), BYTES, `after ${writes} writes`);
    left = writes;
    await ask('download', what).catch(({ message }) => said.add(message));
    left = Infinity;
  }
  assert.ok(
    [...said].some((message) => /gives no more room/.test(message)),
    [...said].join('\n'),
  );
  assert.deepEqual(new Uint8Array(await (await open('k')).arrayBuffer()), other, 'in the end there is room');
});
