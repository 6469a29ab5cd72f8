/** The page's languages: every text in each of them, and the page as people who read German and Chinese see it. */
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
/** The values and tags that a text has places for, each once. */
const places = (text) => [...new Set(text.match(/\{\w+\}|<\/?\w+>/g))].sort();

/** The sources that say something. */
async function sources() {
  const files = (await readdir(WEB, { recursive: true })).filter((file) => /^[^.]+\.js$/.test(file) && !file.startsWith('words') && !file.startsWith('public'));
  const texts = await Promise.all([...files.map((file) => new URL(file, WEB)), ...['../index.html', '../help.html'].map((file) => new URL(file, WEB))].map((url) => readFile(url, 'utf8')));
  return texts.join('\n');
}

describe('the texts', () => {
  for (const [name, texts] of Object.entries({ de, zh })) {
    it(`are all there in ${name}, with the same places for values`, () => {
      assert.deepEqual(Object.keys(texts).filter((key) => !(key in en)), []);
      assert.deepEqual(Object.keys(en).filter((key) => !(key in texts)), []);
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
    const all = await sources();
    const groups = new Set([...all.matchAll(/word\("(\w+)"/g)].map(([, group]) => group));
    assert.deepEqual(Object.keys(en).filter((key) => !all.includes(`"${key}"`) && !groups.has(key.split('.')[0])), []);
  });

  it('stand in no view itself', async () => {
    const views = (await readdir(new URL('views/', WEB))).filter((file) => file !== 'icons.js');
    for (const file of views) {
      const source = await readFile(new URL(`views/${file}`, WEB), 'utf8');
      // Words between tags, but for names that are the same everywhere.
      const inline = [...source.matchAll(/<(?:p|h[1-6]|summary|legend|span|button|td|dt|dd|li|th|strong|label)\b[^<>]*>\s*([A-Z][a-z]+ [a-z][^<>$]*)/g)].map(([, words]) => words.trim());
      assert.deepEqual(inline, [], file);
    }
  });
});

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** A fresh page of a person who reads these languages. */
async function open(...languages) {
  const { page } = await site.open(BLANK, { locale: languages[0] });
  await page.addInitScript((languages) => Object.defineProperty(navigator, 'languages', { get: () => languages }), languages);
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname.replace(SUB_PATH, '')));
  await page.goto(site.url);
  await page.waitForSelector('#try-demo');
  return { page, asked };
}

describe('the page', () => {
  for (const [locale, lang, texts] of [['de-AT', 'de', de], ['zh-CN', 'zh', zh]]) {
    it(`speaks ${lang} to those who read it`, async () => {
      const { page, asked } = await open(locale, 'en');
      assert.equal(await page.locator('html').getAttribute('lang'), lang);
      assert.equal(await page.inputValue('#language'), lang);
      assert.equal((await page.locator('#try-demo').innerText()).trim(), texts['intro.demo']);
      assert.equal(await page.locator('.skip').textContent(), texts['page.skip']);
      assert.deepEqual(asked.filter((path) => /^assets\/(de|zh)-/.test(path)).map((path) => path.slice(7, 9)), [lang]);
      await page.click('#try-demo');
      const report = await reportOf(page, 'duotone.safetensors');
      await report.getByRole('heading', { name: texts['works.title'] }).waitFor();
      assert.match(await report.innerText(), new RegExp(texts['map.title']));
      // What the engine says is English, and says so.
      assert.equal(await report.locator('.sentence [lang=en]').count(), 1);
      await page.goto(`${site.url}help.html`);
      await page.getByRole('heading', { name: texts['help.why'] }).waitFor();
    });
  }

  it('takes another language at once, keeps it, and loads none unasked', async () => {
    const { page, asked } = await open('fr-FR', 'en-GB');
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
    assert.deepEqual(asked.filter((path) => /^assets\/(de|zh)-/.test(path)), []);
    await page.selectOption('#language', 'zh');
    await page.getByText(zh['intro.demo'], { exact: true }).waitFor();
    await page.reload();
    await page.getByText(zh['intro.demo'], { exact: true }).waitFor();
    await page.selectOption('#language', 'en');
    await page.getByText(en['intro.demo'], { exact: true }).waitFor();
    assert.equal(await page.locator('html').getAttribute('lang'), 'en');
  });
});
