/** Hostile or huge input: what is drawn stays small, and no text takes long. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openPage, report, written } from './page.mjs';

const send = () => {};

it('ten thousand entries of metadata, and values of megabytes, make a short section', async () => {
  const { state } = await openPage();
  const { metadataSection } = await import('../../web/inspect/views/metadata.js');
  const { metadataForm } = await import('../../web/edit/views/metadata-form.js');
  const { FIRST_CHANGE } = await import('../../web/edit/state.js');
  const metadata = Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`key ${at}`, 'x']));
  metadata['a long one'] = 'y'.repeat(5e6);
  for (const rawMetadata of [false, true]) {
    const text = written(metadataSection.view(metadata, { state: { ...state(), rawMetadata }, send }));
    assert.ok(text.length < 500_000, `${text.length} letters`);
    assert.match(text, /10,001/);
  }
  assert.ok(written(metadataForm(FIRST_CHANGE.form, metadata, send)).length < 500_000);
});

it('a hundred and thirty thousand buckets are shown without a fault', async () => {
  const { state } = await openPage();
  const { trainingSection } = await import('../../web/inspect/views/training.js');
  const training = {
    trainer: '',
    settings: [],
    trigger_words: [],
    tags: [],
    tag_total: 0,
    preview_key: null,
    datasets: Array.from({ length: 50_000 }, (_, at) => ({ folder: `f${at}`, images: 1, repeats: 1 })),
    buckets: Array.from({ length: 130_000 }, (_, at) => ({ width: 512, height: 512 + at, images: at })),
  };
  const text = written(trainingSection.view(training, { report: { metadata: {} }, state: state(), send }));
  assert.ok(text.length < 500_000, `${text.length} letters`);
  assert.match(text, /129,800/);
});

it('a long prompt of half-finished mentions takes no time', async () => {
  const { state } = await openPage();
  const { activeRows } = await import('../../web/recipe.js');
  const form = { ...state().form, program: 'a1111', prompt: '<lora:a:'.repeat(25_000) };
  const started = performance.now();
  activeRows({ ...state(), form });
  assert.ok(performance.now() - started < 1000, `${performance.now() - started} ms`);
});

it('a view that throws leaves a message in its place', async () => {
  const { safely } = await import('../../web/ui/boundary.js');
  const { error } = console;
  console.error = () => {};
  assert.match(
    written(
      safely(() => {
        throw new RangeError('too many');
      }),
    ),
    /too many/,
  );
  console.error = error;
  assert.equal(
    safely(() => 'fine'),
    'fine',
  );
});

it('a crash while a file is read keeps what its header says, and the file can be read again', async () => {
  const page = await openPage();
  page.send({ type: 'files/dropped', files: [new File(['x'], 'one.safetensors')], folders: [], place: '' });
  (await page.engine.waiting('inspect')).fail({ kind: 'crashed', message: 'out of memory' });
  const entry = await page.until('the file to wait', ({ files }) => files[0].status === 'header' && files[0]);
  assert.ok(entry.report.headers_only);
  assert.match(entry.error.message, /out of memory/);
  page.send({ type: 'files/continue', id: entry.id });
  assert.equal(page.state().files[0].error, null);
  await page.answer('inspect', { report: report('one.safetensors'), fixes: [] });
  await page.until('its report', ({ files }) => files[0].status === 'read');
});

it('a copy is announced only when it is there', async () => {
  const page = await openPage();
  navigator.clipboard = {
    writeText: async () => {
      throw new Error('not allowed');
    },
  };
  page.send({ type: 'text/copy', text: 'x', what: 'SHA-256' });
  await page.until('a message', ({ notices }) => notices.length);
  assert.deepEqual(page.state().toasts, []);
  assert.doesNotMatch(page.state().announcement, /copied/);
  navigator.clipboard = { writeText: async () => {} };
  page.send({ type: 'text/copy', text: 'x', what: 'SHA-256' });
  await page.until('a toast', ({ toasts }) => toasts[0]?.text === 'SHA-256 copied');
});

it('a table for a spreadsheet holds no formula', async () => {
  const { folderCsv } = await import('../../web/files/folder.js');
  const summary = { file: '', size: 5, label: '=1+1', trigger_words: '@a', strength: -1 };
  assert.equal(
    folderCsv({ rows: [{ id: '', path: '+x', summary, error: null }] }),
    "file,size,label,trigger_words,strength\r\n'+x,5,'=1+1,'@a,-1\r\n",
  );
});

it('a report as Markdown holds no markup of the file', async () => {
  const { reportMarkdown } = await import('../../web/inspect/export.js');
  const text = reportMarkdown(
    report('![](https://evil/beacon).safetensors', {
      algorithms: [],
      convention: '',
      size: 1,
      verdict: { id: 'made', values: {}, text: '<img src=x> `code`' },
    }),
  );
  assert.doesNotMatch(text, /!\[\]\(|[^\\]<img/);
});

it('one listener that throws keeps no other from hearing, and actions come in order', async () => {
  const { createStore } = await import('../../web/core/store.js');
  const store = createStore((state, action) => [...state, action], []);
  const heard = [];
  const thrown = [];
  globalThis.reportError = ({ message }) => thrown.push(message);
  store.subscribe((_state, action) => {
    if (action === 'first') store.send('second');
    if (action === 'second') throw new Error('a listener');
  });
  store.subscribe((_state, action) => heard.push(action));
  store.send('first');
  assert.deepEqual(heard, ['first', 'second']);
  assert.deepEqual(thrown, ['a listener']);
});
