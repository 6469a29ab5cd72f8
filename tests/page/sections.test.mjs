/** The report is a list of sections: what a file has of them, in their order, in the report and in its bar. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { openPage, report, written } from './page.mjs';
const { SECTIONS, sectionsOf, sectionsView } = await import('../../web/inspect/views/sections.js');
const { barView } = await import('../../web/inspect/views/bar.js');
const { t, useLanguage } = await import('../../web/words.js');

const WHOLE = report('ink.safetensors', {
  header_sha256: 'h',
  container: 'pickle_zip',
  loaders: [
    {
      id: 'comfyui',
      label: 'ComfyUI',
      status: 'applied',
      applied: 1,
      total: 1,
      reason: null,
      otherwise: null,
      likely: null,
    },
  ],
  imports: [{ name: 'torch.FloatStorage', kind: 'harmless', count: 1, places: [] }],
  coverage: [{ component: 'unet', block: 'IN01', covered: 1, total: 2, norm: 1 }],
  modules: [{ path: 'unet.down_blocks.0.resnets.0.conv1', block: 'IN01', shape: [4, 4] }],
  leftovers: [{ name: 'x', reason: 'unknown', shape: [] }],
  training: { trainer: '', settings: [], trigger_words: [], tags: [], tag_total: 0, datasets: [], buckets: [] },
  metadata: { ss_seed: '1' },
  hashes: { claims: [] },
});

/** What a section is drawn from, for a report that is all there. */
async function shownOf(report, settled = true) {
  const { state } = await openPage();
  const entry = { id: 'file:1', name: report.file, size: 1, status: 'read', report, fixes: [], error: null };
  const look = { ...state().look, settled };
  return { state: { ...state(), files: [entry], selected: entry.id, look }, entry, report, send: () => {} };
}

const ids = (sections) => sections.map(({ id }) => id);

it('each has an id of its own, and a name in every language if it is in the bar', async () => {
  assert.equal(new Set(ids(SECTIONS)).size, SECTIONS.length);
  const titles = SECTIONS.flatMap(({ title }) => title ?? []);
  for (const language of ['de', 'zh', 'en']) {
    await useLanguage(language);
    for (const title of titles) assert.ok(t(title), `${title} in ${language}`);
  }
  assert.ok(titles.length >= 10);
});

it('a file that has everything has all of them, in the order of the list', async () =>
  assert.deepEqual(ids(sectionsOf(await shownOf(WHOLE))), ids(SECTIONS)));

it('a file that has nothing of the kind has none of it', async () => {
  const bare = report('page.html', { kind: 'unknown', header_sha256: '', container: 'unknown' });
  assert.deepEqual(ids(sectionsOf(await shownOf(bare))), ['look']);
});

for (const [id, lacks] of Object.entries({
  pickle: { imports: [] },
  works: { loaders: [] },
  map: { coverage: [{ component: 'unet', block: 'IN01', covered: 0, total: 2, norm: null }] },
  modules: { modules: [] },
  leftovers: { leftovers: [] },
  training: { training: null },
  triggers: { base: { family: 'flux', label: 'Flux', evidence: [] } },
  metadata: { metadata: {} },
  hashes: { hashes: null },
  change: { container: 'zip' },
  compare: { headers_only: true },
}))
  it(`${id} is left out if the file has nothing for it`, async () => {
    const left = ids(sectionsOf(await shownOf({ ...WHOLE, ...lacks })));
    assert.deepEqual(
      left,
      ids(SECTIONS).filter((each) => each !== id),
    );
  });

it('a file of zeros is said to load, not to work', async () => {
  const { verdictSection } = await import('../../web/inspect/views/verdict.js');
  const health = { layers: 1, relative: 0, measured: false, sentences: [] };
  const said = async (untrained) => {
    const found = { ...WHOLE, kind: 'adapter', algorithms: ['lora'], sha256: 'h', health: { ...health, untrained } };
    return written(verdictSection.view(found, await shownOf(found)));
  };
  assert.ok((await said(0)).includes(t('verdict.works', { list: 'ComfyUI' })));
  const zeros = await said(1);
  assert.ok(zeros.includes(t('verdict.loads', { list: 'ComfyUI' })));
  assert.ok(!zeros.includes(t('verdict.works', { list: 'ComfyUI' })));
});

it('the late ones are drawn once the first ones stand', async () => {
  const drawn = (sections) => sections.flatMap((part, at) => (part === null ? [] : [SECTIONS[at].id]));
  const late = ids(SECTIONS.filter(({ late }) => late));
  assert.deepEqual(drawn(sectionsView(await shownOf(WHOLE))), ids(SECTIONS));
  assert.deepEqual(
    drawn(sectionsView(await shownOf(WHOLE, false))),
    ids(SECTIONS).filter((id) => !late.includes(id)),
  );
  assert.ok(late.includes('modules') && !late.includes('look'));
});

it('the bar names them, and generation only if images can be made', async () => {
  const shown = await shownOf(WHOLE);
  for (const { title } of SECTIONS)
    if (title) assert.ok(written(barView(shown, true)).includes(`>${t(title)}<`), title);
  assert.ok(written(barView(shown, true)).includes(t('section.run')));
  assert.ok(!written(barView(shown, false)).includes('to-run'));
});

it('a section that cannot be drawn leaves the others', async () => {
  const { error } = console;
  console.error = () => {};
  try {
    const parts = sectionsView(await shownOf({ ...WHOLE, coverage: [{ covered: 1 }] }));
    assert.equal(parts.filter((part) => part !== null).length, SECTIONS.length);
  } finally {
    console.error = error;
  }
});
