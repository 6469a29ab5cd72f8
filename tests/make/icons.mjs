/**
 * Renders the PNG icons for operating systems and link previews from web/public/icon.svg, with Chromium.
 *
 * Run `CHROME_PATH=/path/to/chromium node tests/make/icons.mjs`.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const PUBLIC = new URL('../../web/public/', import.meta.url);
const icon = await readFile(new URL('icon.svg', PUBLIC), 'utf8');
const drawing = icon.replace(/^<svg[^>]*>|<\/svg>\s*$/g, '');

/** Returns an SVG of the icon on a background; the icon takes `share` of its width. */
const onGround = (
  share,
  radius,
) => `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" width="100%" height="100%">
  <rect width="32" height="32" rx="${radius}" fill="#e2f0ee"/>
  <g transform="translate(${16 - 16 * share} ${16 - 16 * share}) scale(${share})">${drawing}</g></svg>`;

const social = `<main><div>${icon}</div><section><h1>LoRA Loupe</h1><p>Drop a LoRA file: see what it is,<br>then draw with it.</p>
  <p class="fine">Nothing leaves your browser.</p></section></main>
  <style>main { display: flex; align-items: center; gap: 72px; height: 100%; padding: 0 96px; background: #faf9f6; font-family: system-ui, sans-serif; color: #1c2124; }
  div { width: 300px; flex: none; } h1 { font-size: 96px; letter-spacing: -3px; margin: 0 0 16px; } p { font-size: 42px; line-height: 1.35; margin: 0 0 24px; color: #565f66; }
  .fine { color: #0a6b67; font-size: 34px; }</style>`;

/** File name, width, height and SVG. */
const images = [
  ['icon-192.png', 192, 192, onGround(0.78, 7)],
  ['icon-512.png', 512, 512, onGround(0.78, 7)],
  ['icon-maskable-512.png', 512, 512, onGround(0.58, 0)],
  ['apple-touch-icon.png', 180, 180, onGround(0.7, 0)],
  ['social.png', 1200, 630, social],
];

const browser = await chromium.launch({ executablePath: process.env.CHROME_PATH, args: ['--no-sandbox'] });
for (const [name, width, height, content] of images) {
  const page = await browser.newPage({ viewport: { width, height } });
  await page.setContent(
    `<!doctype html><style>html, body { margin: 0; height: 100%; background: transparent; } svg { display: block; }</style>${content}`,
  );
  await writeFile(new URL(name, PUBLIC), await page.screenshot({ omitBackground: true }));
  await page.close();
}
await browser.close();
