/** The page's languages: every text exists in each of them, and the page works in German and Chinese. */
import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import de from '../../web/words/de.js';
import en from '../../web/words/en.js';
import zh from '../../web/words/zh.js';
import { BLANK, SUB_PATH, launch } from './harness.mjs';
import { reportOf } from './studio.mjs';

const WEB = new URL('../../web/', import.meta.url);
const forms = (text) => (typeof text === 'string' ? [text] : Object.values(text));
/** Returns the distinct placeholders and tags of a text. */
const places = (text) => [...new Set(text.match(/\{\w+\}|<\/?\w+>/g))].sort();

/** Returns the concatenated files of a folder, relative to web/, that match a pattern. */
async function texts(folder, pattern) {
  const files = (await readdir(new URL(folder, WEB), { recursive: true })).filter((file) => pattern.test(file));
  return (await Promise.all(files.map((file) => readFile(new URL(`${folder}${file}`, WEB), 'utf8')))).join('\n');
}

/** Returns the sources with user-visible texts. */
const sources = async () =>
  (
    await Promise.all([
      texts('./', /^(?!words|public)[^.]+\.js$/),
      readFile(new URL('../index.html', WEB), 'utf8'),
      readFile(new URL('../help.html', WEB), 'utf8'),
    ])
  ).join('\n');

/** Quoted output of other programs, the same in every language. */
const OTHERS_WORDS = ['lora key not loaded: lora_unet_…'];

/** Returns literal words in a view's templates, between tags or in labels. */
function inlineWords(source) {
  const markup = source.replaceAll(/\$\{[^{}]*\}/g, '\0');
  const texts = [...markup.matchAll(/>([^<>`]*)</g)].map(([, text]) => text.replaceAll('\0', ' ').trim());
  const between = texts.filter((text) => /[A-Za-z]{2,} [a-z]/.test(text) && !/[=;(){}$]/.test(text));
  const labels = [...markup.matchAll(/\b(?:aria-label|title|placeholder|alt)="([^"\0]*[a-z]{2,} [a-z][^"\0]*)"/g)].map(
    ([, words]) => words,
  );
  return [...between, ...labels].filter((words) => !OTHERS_WORDS.includes(words));
}

describe('the texts', () => {
  it('include a title for every class of problem that the core reports', async () => {
    const crate = new URL('../../crate/src/', import.meta.url);
    const rows = await readFile(new URL('analysis/problem_class.rs', crate), 'utf8');
    const all = [...rows.matchAll(/^ {4}\w+ = "(\w+)";$/gm)].map(([, name]) => name);
    assert.ok(all.length > 25, all.join());
    assert.deepEqual(
      all.filter((name) => !(`problem.${name}` in en)),
      [],
    );
  });

  for (const [name, texts] of Object.entries({ de, zh })) {
    it(`are all there in ${name}, with the same places for values`, () => {
      assert.deepEqual(
        Object.keys(texts).filter((key) => !(key in en)),
        [],
      );
      assert.deepEqual(
        Object.keys(en).filter((key) => !(key in texts)),
        [],
      );
      for (const [key, text] of Object.entries(en)) {
        const wanted = places(forms(text).at(-1));
        for (const form of forms(texts[key])) {
          assert.ok(form.trim(), key);
          assert.deepEqual(places(form), wanted, `${key}: ${form}`);
        }
      }
    });
  }

  it('are each said somewhere', async () => {
    const said = await sources();
    const groups = new Set([...said.matchAll(/word\("(\w+)"/g)].map(([, group]) => group));
    // Keys passed to `word`: names from the engine, from the demo's files, and from the page's tables.
    const names = [
      said,
      await texts('../crate/src/', /\.rs$/),
      await texts('engine/', /\.d\.ts$/),
      await texts('public/demo/', /^demo\.json$/),
    ].join('\n');
    const isSaid = (key) => {
      const [group, ...name] = key.split('.');
      const quoted = `"${name.join('.')}`;
      return (
        said.includes(`"${key}"`) ||
        (groups.has(group) && (names.includes(`${quoted}"`) || names.includes(`${quoted}.`)))
      );
    };
    assert.deepEqual(
      Object.keys(en).filter((key) => !isSaid(key)),
      [],
    );
    assert.ok(
      !isSaid('problem.nothing_of_this_name') && !isSaid('metadata.copied_before'),
      'a text that nobody says would be found',
    );
  });

  it('stand in no view itself', async () => {
    const views = (await readdir(WEB, { recursive: true })).filter(
      (file) => /(^|\/)(ui|views)\/[^/]+\.js$/.test(file) && !file.endsWith('/icons.js'),
    );
    assert.ok(views.length > 20, 'the views were not found');
    for (const file of views) assert.deepEqual(inlineWords(await readFile(new URL(file, WEB), 'utf8')), [], file);
    assert.deepEqual(inlineWords('html`<p class="a">${icon} say it</p><b title="Say it">x</b><i>${t("a.b")}</i>`'), [
      'say it',
      'Say it',
    ]);
  });
});

/** The verdict on the demo's LoRA. */
const SENTENCES = {
  de: /^LoRA für Stable Diffusion 1\.x: ändert \d+ UNet-Schichten/,
  zh: /^适用于 Stable Diffusion 1\.x 的 LoRA：修改 \d+ 个 UNet 层/,
};

let site;

/** Opens a page with these preferred languages. */
async function open(...languages) {
  const { page } = await site.open(BLANK, { locale: languages[0] });
  await page.addInitScript(
    (languages) => Object.defineProperty(navigator, 'languages', { get: () => languages }),
    languages,
  );
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname.replace(SUB_PATH, '')));
  await page.goto(site.url);
  await page.waitForSelector('#try-demo');
  return { page, asked };
}

describe('the page', () => {
  before(async () => (site = await launch()));
  after(() => site?.close());

  for (const [locale, lang, texts] of [
    ['de-AT', 'de', de],
    ['zh-CN', 'zh', zh],
  ]) {
    it(`speaks ${lang} to those who read it`, async () => {
      const { page, asked } = await open(locale, 'en');
      assert.equal(await page.locator('html').getAttribute('lang'), lang);
      assert.equal(await page.inputValue('#language'), lang);
      assert.equal((await page.locator('#try-demo').innerText()).trim(), texts['intro.demo']);
      assert.equal(await page.locator('.skip').textContent(), texts['page.skip']);
      assert.deepEqual(
        asked.filter((path) => /^assets\/(de|zh)-/.test(path)).map((path) => path.slice(7, 9)),
        [lang],
      );
      await page.click('#try-demo');
      const report = await reportOf(page, 'duotone.safetensors');
      await report.getByRole('heading', { name: texts['works.title'] }).waitFor();
      assert.match(await report.innerText(), new RegExp(texts['map.title']));
      // So do the engine's sentences, by their ids.
      assert.equal(await report.locator('[lang=en]').count(), 0);
      assert.match(await report.locator('.sentence').innerText(), SENTENCES[lang]);
      await page.goto(`${site.url}help.html`);
      await page.getByRole('heading', { name: texts['help.why'] }).waitFor();
    });
  }

  it('takes another language at once, keeps it, and loads none unasked', async () => {
    const { page, asked } = await open('fr-FR', 'en-GB');
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    assert.deepEqual(
      asked.filter((path) => /^assets\/(de|zh)-/.test(path)),
      [],
    );
    await page.selectOption('#language', 'zh');
    await page.getByText(zh['intro.demo'], { exact: true }).waitFor();
    await page.reload();
    await page.getByText(zh['intro.demo'], { exact: true }).waitFor();
    await page.selectOption('#language', 'en');
    await page.getByText(en['intro.demo'], { exact: true }).waitFor();
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  });
});
