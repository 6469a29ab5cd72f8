/** The page without a browser: its store and its effects, with an engine whose calls the test answers. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { register } from 'node:module';

register('./loader.mjs', import.meta.url);

const PUBLIC = new URL('../../web/public/', import.meta.url);

// Node.js 20 has none yet.
Map.groupBy ??= (items, keyOf) => {
  const groups = new Map();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
};

/** What the page's modules find in a browser, as far as they need it. */
Object.assign(globalThis, {
  self: globalThis,
  window: globalThis,
  location: { hash: '', search: '', pathname: '/', href: 'http://localhost/' },
  document: {
    baseURI: 'http://localhost/',
    getElementById: () => null,
    createTreeWalker: () => ({}),
    createComment: () => ({}),
  },
  addEventListener() {},
  reportError: (thrown) =>
    setTimeout(() => {
      throw thrown;
    }),
  requestAnimationFrame: (act) => setTimeout(act),
  matchMedia: () => ({ matches: false }),
  fetch: async (address) => new Response(await readFile(new URL(new URL(address).pathname.slice(1), PUBLIC))),
});
Object.defineProperty(globalThis, 'navigator', {
  configurable: true,
  value: {
    gpu: { requestAdapter: async () => ({ info: { description: 'Card' }, limits: { maxBufferSize: 2 ** 28 } }) },
    languages: ['en'],
    hardwareConcurrency: 2,
  },
});

const { createEffects } = await import('../../web/effects.js');
const { createStore } = await import('../../web/core/store.js');
const { initialState, reduce } = await import('../../web/state.js');

/** A report of an adapter that fits the demo model. */
export const report = (file, more = {}) => ({
  file,
  kind: 'adapter',
  container: 'safetensors',
  headers_only: false,
  problems: [],
  modules: [],
  loaders: [],
  coverage: [],
  imports: [],
  leftovers: [],
  metadata: {},
  training: null,
  hashes: null,
  health: null,
  sha256: `sha of ${file}`,
  header_sha256: 'h',
  verdict: { id: 'made', values: {}, text: 'A LoRA.' },
  base: { family: 'sd15', label: 'SD 1.5', evidence: [] },
  ...more,
});

/** Templates within a view's result, as text: what lit would put into the page. */
export function written(view) {
  if (view === null || view === undefined || typeof view === 'function' || typeof view === 'symbol') return '';
  if (Array.isArray(view)) return view.map(written).join('');
  if (typeof view !== 'object') return String(view);
  if (view.strings) return view.strings.map((part, at) => part + written(view.values[at])).join('');
  return view.values ? written(view.values) : '';
}

const MODEL = {
  name: 'Tiny emoji SD',
  family: 'sd15',
  label: 'SD 1.5',
  samplers: ['euler', 'ddim'],
  fresh: [],
  multiple: 8,
  width: 64,
  height: 64,
  steps: 20,
  guidance: 5,
  sampler: 'euler',
  parameters: 1,
  storage: { weights: 'auto', needs: [{ weights: 'auto', bytes: 1e9 }] },
  fingerprint: 'f1',
};

/** An engine's client whose slow calls (`generate`, `inspect`, ...) stay open until the test answers them. */
class Engine {
  known = new Set();
  model = '';
  /** Keys of models that do not open. */
  unfit = /^$/;
  /** Calls that wait: `{ call, args, answer, fail }`. */
  open = [];
  /** Names of all calls so far. */
  calls = [];
  /** The most images that were made at once. */
  most = 0;

  #slow(call, args) {
    this.calls.push(call);
    return new Promise((resolve, reject) => {
      const close = () => void (this.open = this.open.filter((each) => each !== waiting));
      const waiting = {
        call,
        args,
        answer: (value) => (close(), resolve(value)),
        fail: (error) => (close(), reject(error)),
      };
      this.open.push(waiting);
      this.most = Math.max(this.most, this.open.filter((each) => each.call === 'generate').length);
    });
  }

  /** Waits until a call is open and returns it. */
  async waiting(call) {
    for (let turn = 0; turn < 500; turn++) {
      const found = this.open.find((each) => each.call === call);
      if (found) return found;
      await new Promise((next) => setTimeout(next, 2));
    }
    return assert.fail(`the engine was not asked to ${call}; it was asked to ${this.calls}`);
  }

  #stop(call) {
    this.open
      .filter((each) => each.call === call)
      .forEach((each) => each.fail({ kind: 'cancelled', message: 'cancelled' }));
    return Promise.resolve();
  }

  estimate = async () => undefined;
  gpu = async () => ({ adapter: 'Card', backend: 'test', software: false });
  header = async ({ file }) => report(file.name, { headers_only: true });
  inspect = (place) => this.#slow('inspect', { place });
  measure = (place) => this.#slow('measure', { place });
  summarize = (place) => this.#slow('summarize', { place });
  /** What `findSeries` gives. */
  runs = [];
  findSeries = async () => this.runs;
  measureSeries = (places, part, parts, hear) => this.#slow('measureSeries', { places, part, parts, hear });
  summarizeSeries = async (files, layers) => ({
    totals: files.map((_, at) => ({
      norm: layers.reduce((sum, { points }) => sum + points[at].norm, 0),
      moved: null,
      cosine: null,
      effective_rank: 1,
    })),
    parts: [],
    blocks: [],
    sentences: [],
  });
  previewEdit = (edit) => this.#slow('previewEdit', { edit });
  applyEdit = (edit) => this.#slow('applyEdit', { edit });
  generate = (recipe) => this.#slow('generate', { recipe });
  benchNames = async () => ['a kernel'];
  benchRoof = () => this.#slow('benchRoof', {});
  benchCase = () => this.#slow('benchCase', {});
  stopReading = () => (this.#stop('measureSeries'), this.#stop('inspect'));
  stopEdit = () => (this.#stop('applyEdit'), this.#stop('previewEdit'));
  cancel = () => (this.calls.push('cancel'), this.#stop('generate'));
  countTokens = async () => [1, 75];
  remember = async (sha256) => void this.known.add(sha256);
  end() {}
  async openModel(key) {
    this.calls.push('openModel');
    await new Promise((next) => setTimeout(next, 5));
    if (this.unfit.test(key)) throw { kind: 'unfit', message: 'no such model' };
    this.model = key;
    return MODEL;
  }
}

/** Opens the page: `send`, `state()`, the `engine`, and every action so far in `log`. */
export async function openPage() {
  const engine = new Engine();
  const { Readers } = await import('../../web/engine/readers.js');
  const store = createStore(reduce, initialState);
  const log = [];
  store.subscribe((_state, action) => log.push(action));
  const reach = { size: async () => 1000, port: () => new MessageChannel().port1 };
  const effects = createEffects({
    inspector: engine,
    engine,
    readers: new Readers(engine, () => engine),
    reach,
    send: store.send,
    getState: store.getState,
  });
  store.subscribe((_state, action) => effects(action));
  const page = {
    engine,
    log,
    send: store.send,
    state: store.getState,
    types: () => log.map(({ type }) => type),
    /** Waits until something holds of the page. */
    async until(what, holds) {
      for (let turn = 0; turn < 1000; turn++) {
        const found = holds(store.getState());
        if (found) return found;
        await new Promise((next) => setTimeout(next, 2));
      }
      return assert.fail(`waited in vain for ${what} after ${page.types()}`);
    },
    /** Gives everything that is on its way the time to happen. */
    rest: (ms = 30) => new Promise((next) => setTimeout(next, ms)),
    /** Answers the engine's next call of this name. */
    async answer(call, value) {
      (await engine.waiting(call)).answer(value);
    },
    /** Reads the demo's first LoRA, as far as its report, and shows it. */
    async withDemoLora() {
      const id = `demo:${store.getState().demo.catalogue.loras[0].file}`;
      store.send({ type: 'demo/open', id });
      const { args } = await engine.waiting('inspect');
      await page.answer('inspect', { report: report(args.place.file.name), fixes: [] });
      await page.until('its report', ({ files }) => files[0]?.status === 'read');
      return id;
    },
    /** Generates the two images of the form. */
    async generated() {
      store.send({ type: 'run/generate' });
      await page.answer('generate', image());
      await page.answer('generate', image());
      await page.until('both images', ({ run, result }) => run.status === 'idle' && result?.with);
    },
  };
  await page.until('the demo and the GPU', ({ device, demo }) => device.status === 'ready' && demo.catalogue);
  return page;
}

let images = 0;
/** An image as the engine makes it. */
export const image = () => ({
  width: 1,
  height: 1,
  rgba: new Uint8Array(4),
  png: new Uint8Array(1),
  seconds: 1,
  serial: ++images,
});

/** A small file for the page. */
export const file = (name, bytes = 10) => new File([new Uint8Array(bytes)], name);
