/**
 * Screenshots of dist/ in Chromium, to be looked at: node tests/make/screens.mjs FOLDER [STATE…] writes
 * FOLDER/STATE-LANGUAGE-WIDTH-SCHEME.png. CHROME_PATH names the browser, as in the tests.
 */
import { mkdir } from 'node:fs/promises';
import { pathToFileURL } from 'node:url';
import { drop, launch, until } from '../browser/harness.mjs';
import { PATIENCE, enter, finished, generate, openDemo, reportOf } from '../browser/studio.mjs';

const [folder, ...wanted] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const site = await launch();

/** English in every width and scheme, the other languages in some. */
const VARIANTS = [
  ...[1280, 390, 1920].flatMap((width) => ['light', 'dark'].map((scheme) => ['en', width, scheme])),
  ...['de', 'zh'].flatMap((language) => [
    [language, 390, 'light'],
    [language, 1280, 'dark'],
  ]),
];

const opened = async (...files) => {
  const { page } = await site.open();
  await page.waitForSelector('#try-demo');
  await drop(page, files);
  await reportOf(page, files.at(-1).split('/').at(-1));
  return page;
};
/** A training run on the demo model. */
const EPOCHS = Array.from({ length: 12 }, (_, at) =>
  at < 11 ? `golden/series/rings-${String(at + 1).padStart(6, '0')}.safetensors` : 'golden/series/rings.safetensors',
);
const demo = async () => (await openDemo(site, { steps: 4, guidance: 2 })).page;

/** A plot of three of the demo's LoRAs. */
const plotOfLoras = async () => {
  const page = await demo();
  await page.getByRole('heading', { name: 'X/Y plot' }).click();
  await page.selectOption('#axis-x', 'lora');
  for (const [at, chip] of (await page.locator('.axis').first().locator('.chip').all()).entries())
    if (at < 3 !== ((await chip.getAttribute('aria-pressed')) === 'true')) await chip.click();
  await page.click('#draw-grid');
  await page.waitForSelector('[data-testid=run]:not([data-status=idle])', PATIENCE);
  await finished(page);
  return page;
};

/** What there is to see: a page and the part of it that is photographed, all of it if none is named. */
const STATES = {
  intro: async () => [(await site.open()).page],
  report: async () => [await opened('corpus/files/kohya_lora_r4a1_fp16.safetensors'), '#look'],
  map: async () => [await opened('corpus/files/kohya_lora_r4a1_fp16.safetensors'), '#map'],
  problems: async () => [await opened('hostile/nan_inf_weights.safetensors'), '#look'],
  refused: async () => [await opened('hostile/html_page.safetensors')],
  upscaler: async () => [await opened('golden/upscalers/compact.pth'), '#look'],
  folder: async () => {
    const { page } = await site.open();
    await page.waitForSelector('#try-demo');
    await drop(
      page,
      ['kohya_lora_r4a1_fp16', 'lycoris_lokr_full_bf16', 'kohya_with_unmatched_keys_fp16']
        .flatMap((name) => [name, name, name])
        .map((name) => `corpus/files/${name}.safetensors`),
    );
    await page.waitForSelector('[data-testid=folder][data-done=yes]');
    return [page, '[data-testid=folder]'];
  },
  before: async () => [await demo(), '#run'],
  device: async () => {
    const page = await demo();
    await page.selectOption('#device', 'cpu');
    return [page, '[data-testid=device]'];
  },
  templates: async () => {
    const page = await demo();
    await page.click('#templates > summary');
    await page.locator('#advanced > summary').click();
    return [page, '#run form'];
  },
  during: async () => {
    const page = await demo();
    await enter(page, { steps: 100 });
    await page.click('#generate');
    await page.waitForSelector('[data-testid=progress]');
    await page.locator('#run').scrollIntoViewIfNeeded();
    return [page, '#run'];
  },
  activity: async () => {
    const page = await demo();
    await enter(page, { steps: 100 });
    await page.click('#generate');
    await page.waitForSelector('[data-testid=activity]');
    return [page, 'window'];
  },
  after: async () => {
    const page = await demo();
    await generate(page);
    return [page, '#run'];
  },
  grid: async () => {
    const page = await demo();
    await enter(page, { steps: 1 });
    await page.getByRole('heading', { name: 'X/Y plot' }).click();
    await page.fill('#values-x', '0.5, 1');
    await page.click('#draw-grid');
    await page.waitForSelector('[data-testid=run]:not([data-status=idle])', PATIENCE);
    await finished(page);
    return [page, '#run'];
  },
  previews: async () => {
    const page = await demo();
    await drop(page, [...EPOCHS.slice(0, 6), 'corpus/files/kohya_lora_r4a1_fp16.safetensors']);
    await page.waitForSelector('[data-testid=folder][data-done=yes]');
    await page.click('#previews-open');
    await page.waitForSelector('[data-testid=previews]');
    await enter(page, { 'previews-steps': 2 });
    await page.click('#previews-start');
    await page.waitForSelector('[data-testid=previews][data-status=made]', PATIENCE);
    await page.click('[data-testid=previews-passed] summary');
    return [page, '[data-testid=folder]'];
  },
  series: async () => {
    const page = await demo();
    await drop(page, EPOCHS);
    await page.waitForSelector('[data-testid=series][data-status=read]');
    return [page, '[data-testid=series]'];
  },
  vote: async () => {
    const page = await plotOfLoras();
    await page.click('#vote-start');
    return [page, '#grid'];
  },
  ranking: async () => {
    const page = await plotOfLoras();
    await page.click('#vote-start');
    for (const choice of ['left', 'same', 'left']) await page.click(`#vote-${choice}`);
    for (const [id, name] of [
      ['download-grid', 'plot.png'],
      ['animate-grid', 'plot.gif'],
    ]) {
      const [download] = await Promise.all([page.waitForEvent('download'), page.click(`#${id}`)]);
      await download.saveAs(`${folder}/${name}`);
    }
    return [page, '#grid'];
  },
  conflicts: async () => {
    const page = await opened(
      'corpus/files/kohya_lora_r4a1_fp16.safetensors',
      'corpus/files/kohya_alpha_gt_rank_r3a16_fp32.safetensors',
    );
    await page.click('[data-kind=merge]');
    await page.selectOption('#merge-with', { label: 'kohya_lora_r4a1_fp16.safetensors' });
    await page.selectOption('#merge-method', 'ties');
    await page.click('#change-plan');
    await page.waitForSelector('[data-testid=change][data-status=planned]');
    await page.locator('[data-testid=change] details').evaluateAll((all) => all.forEach((fold) => (fold.open = true)));
    return [page, '#change'];
  },
  card: async () => {
    const page = await demo();
    await generate(page);
    const [download] = await Promise.all([page.waitForEvent('download'), page.click('#card-png')]);
    await download.saveAs(`${folder}/card.png`);
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('#card-html')]);
    await file.saveAs(`${folder}/card.html`);
    await page.goto(pathToFileURL(`${folder}/card.html`).href);
    return [page, 'bare'];
  },
  bench: async () => {
    const { page } = await site.open(undefined);
    await page.evaluate(() => void (location.hash = '#bench'));
    await page.waitForSelector('[data-testid=bench]');
    return [page, '[data-testid=bench]'];
  },
  library: async () => {
    const page = await opened('golden/loras/mini-sd15/lora_a.safetensors');
    await page.click('#keep');
    await page.click('#library summary');
    await page.locator('[data-testid=kept][data-status=kept]').waitFor();
    return [page, '#library'];
  },
  edit: async () => {
    const page = await opened('corpus/files/kohya_lora_r4a1_fp16.safetensors');
    await page.locator('#change button').first().click();
    return [page, '#change'];
  },
  restored: async () => {
    const { page } = await site.open();
    await page.waitForSelector('#try-demo');
    await drop(page, ['recipes/civitai.jpg']);
    await page.locator('#run [data-kind=restored]').waitFor();
    return [page, '#run'];
  },
  session: async () => {
    const page = await opened('corpus/files/kohya_lora_r4a1_fp16.safetensors');
    await until('the work to be kept', () => page.locator('#forget-session').count());
    await page.reload();
    await page.locator('[data-kind=session]').waitFor();
    return [page];
  },
};

for (const [name, open] of Object.entries(STATES)) {
  if (wanted.length && !wanted.includes(name)) continue;
  const [page, part] = await open();
  for (const [language, width, colorScheme] of VARIANTS) {
    await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
    await page.emulateMedia({ colorScheme });
    if (part !== 'bare') {
      await page.selectOption('#language', language);
      await page.waitForFunction((language) => document.documentElement.lang === language, language);
    }
    const shot = { path: `${folder}/${name}-${language}-${width}-${colorScheme}.png`, animations: 'disabled' };
    if (part && !['window', 'bare'].includes(part)) await page.locator(part).screenshot(shot);
    else await page.screenshot({ ...shot, fullPage: part !== 'window' });
  }
  await page.context().close();
  console.log(name);
}
await site.close();
