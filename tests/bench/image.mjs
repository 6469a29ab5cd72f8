/**
 * Times images on the processor, through the built page:
 *
 *     node tests/bench/image.mjs                                  # the demo's two images, in Chromium
 *     node tests/bench/image.mjs --browser webkit                 # or firefox
 *     node tests/bench/image.mjs --model sd15.safetensors --size 256 --steps 4 --guidance 7
 *     node tests/bench/image.mjs --guidance 7 --cores 1           # in Chromium, as on one core: without the second worker
 *
 * prints the seconds from each click until the model is open and until the image is drawn, those of each stage, and in
 * Chromium the peak memory of the page's process above idle. CHROME_PATH and FIREFOX_PATH name the browsers, as in the tests.
 */
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import puppeteer from 'puppeteer-core';
import { launch } from '../browser/harness.mjs';
import { launchWebKit } from '../browser/webdriver.mjs';
import { watch } from './memory.mjs';

const { values: options } = parseArgs({
  options: {
    browser: { type: 'string', default: 'chromium' },
    model: { type: 'string' },
    size: { type: 'string' },
    steps: { type: 'string', default: '6' },
    guidance: { type: 'string' },
    cores: { type: 'string' },
    images: { type: 'string', default: '2' },
  },
});
/** Time in ms until a page and its worker are idle. */
const SETTLED = 1500;
/** Time in ms between two looks at the page. */
const LOOK = 25;

const site = await launch();
const page = await opened(options.browser);
try {
  await page.find('#try-demo');
  await page.pause(SETTLED);
  const memory = options.browser === 'chromium' ? await watch(site.browser) : undefined;
  const began = Date.now();
  if (options.model) {
    await page.run(() => void document.querySelector('#try-demo').click());
    await ready();
    await page.run(() => {
      for (const details of document.querySelectorAll('#run details')) details.open = true;
    });
    await page.upload('#pick-checkpoint', options.model);
    await seen((name) => document.querySelector('#run .act .fine').innerText.includes(name), modelName());
    await page.run(() => {
      const lora = document.querySelector('#lora');
      if (!lora) return;
      lora.value = '';
      lora.dispatchEvent(new Event('change', { bubbles: true }));
    });
  } else {
    // Seen by the test of a first visit: the demo is fetched and read within these seconds.
    await page.run(() => void document.querySelector('#try-demo').click());
  }
  await ready();
  await seen(() => !!document.querySelector('[data-testid=device]'));
  const open = (Date.now() - began) / 1000;
  const { size, steps, guidance } = options;
  for (const [id, value] of Object.entries({ width: size, height: size, steps, guidance }))
    if (value !== undefined)
      await page.run(
        (id, value) => {
          const field = document.querySelector(`#${id}`);
          field.value = value;
          for (const type of ['input', 'change']) field.dispatchEvent(new Event(type, { bubbles: true }));
        },
        id,
        value,
      );
  await page.pause(SETTLED);
  console.log(JSON.stringify({ ...options, open, load: loadavg()[0] }));
  for (let image = 0; image < Number(options.images); image++) console.log(JSON.stringify(await drawn()));
  await page.pause(SETTLED);
  console.log(await page.run(() => document.querySelector('[data-testid=estimate]')?.innerText));
  if (memory) console.log(`${Math.round(memory.stop() / 2 ** 20)} MiB`);
} finally {
  await page.close();
  await site.close();
}

/** Presses Generate and returns the seconds until all images are drawn, and when each text of the progress was first seen. */
async function drawn() {
  await page.run((look) => {
    const run = document.querySelector('[data-testid=run]');
    const start = performance.now();
    const said = {};
    globalThis.marks = null;
    const seed = document.querySelector('#seed');
    seed.value = String(Number(seed.value) + 1);
    seed.dispatchEvent(new Event('change', { bubbles: true }));
    document.querySelector('#generate').click();
    const timer = setInterval(() => {
      const text = document.querySelector('#progress-what')?.innerText.trim();
      const at = (performance.now() - start) / 1000;
      if (text) said[text] ??= at;
      if (run.dataset.status !== 'idle' || at < 0.1) return;
      clearInterval(timer);
      globalThis.marks = { seconds: at, said, error: document.querySelector('#run [role=alert]')?.innerText };
    }, look);
  }, LOOK);
  await seen(() => globalThis.marks !== null);
  return page.run(() => globalThis.marks);
}

function ready() {
  return seen(() => !!document.querySelector('#generate[aria-disabled=false]'));
}

/** Waits, for as long as it takes, until a function says yes in the page. */
async function seen(what, ...given) {
  while (!(await page.run(what, ...given))) await page.pause(LOOK);
}

/** The name of the model's file without its ending, as the page shows it. */
function modelName() {
  return options.model.split('/').at(-1).split('.')[0];
}

/** Opens the app in a browser without WebGPU. */
async function opened(browser) {
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  if (browser === 'webkit') {
    const { page, close } = await launchWebKit();
    await page.open(site.url);
    const run = (code, ...given) => page.run(String(code), ...given);
    return { find: page.find, run, upload: page.type, pause, close };
  }
  if (browser === 'firefox') {
    const firefox = await puppeteer.launch({
      browser: 'firefox',
      executablePath: process.env.FIREFOX_PATH,
      headless: true,
      extraPrefsFirefox: { 'dom.webgpu.enabled': false, 'intl.accept_languages': 'en' },
      protocolTimeout: 0,
    });
    const page = await firefox.newPage();
    await page.goto(site.url);
    return {
      find: (selector) => page.waitForSelector(selector, { timeout: 0 }),
      run: (code, ...given) => page.evaluate(code, ...given),
      upload: async (selector, file) => (await page.$(selector)).uploadFile(file),
      pause,
      close: () => firefox.close(),
    };
  }
  const { page } = await site.open();
  page.setDefaultTimeout(0);
  if (options.cores) {
    const cores = Number(options.cores);
    await page.addInitScript((value) => void Object.defineProperty(navigator, 'hardwareConcurrency', { value }), cores);
    await page.reload();
  }
  return {
    find: (selector) => page.waitForSelector(selector),
    run: (code, ...given) => page.evaluate(`(${code})(...${JSON.stringify(given)})`),
    upload: (selector, file) => page.setInputFiles(selector, file),
    pause,
    close: async () => {},
  };
}
