/**
 * Turns index.html, help.html, web/ and pkg/ into dist/: an installable page that works under any path of any static
 * host.
 */
import { defineConfig } from 'vite';
import { VitePWA } from 'vite-plugin-pwa';

/** What the page says of itself to the system that installs it. Addresses are relative to the manifest. */
const manifest = {
  id: './',
  name: 'LoRA Loupe',
  short_name: 'LoRA Loupe',
  description:
    'See what a LoRA file is, what it was made for and where it acts; then generate images with it. ' +
    'Nothing leaves your browser.',
  start_url: './',
  scope: './',
  display: 'standalone',
  background_color: '#faf9f6',
  theme_color: '#0a6b67',
  categories: ['graphics', 'utilities'],
  icons: [
    { src: 'icon.svg', sizes: 'any', type: 'image/svg+xml' },
    { src: 'icon-192.png', sizes: '192x192', type: 'image/png' },
    { src: 'icon-512.png', sizes: '512x512', type: 'image/png' },
    { src: 'icon-maskable-512.png', sizes: '512x512', type: 'image/png', purpose: 'maskable' },
  ],
  launch_handler: { client_mode: ['focus-existing', 'auto'] },
  file_handlers: [
    { action: './', accept: { 'application/octet-stream': ['.safetensors'] }, launch_type: 'single-client' },
  ],
  share_target: {
    action: 'share',
    method: 'POST',
    enctype: 'multipart/form-data',
    params: { files: [{ name: 'files', accept: ['application/octet-stream', '.safetensors', 'image/png'] }] },
  },
};

export default defineConfig({
  base: './',
  publicDir: 'web/public',
  plugins: [
    VitePWA({
      manifest,
      strategies: 'injectManifest',
      srcDir: 'web',
      filename: 'sw.js',
      injectRegister: false, // web/app/effects.js does it; an inline script would break the Content-Security-Policy
      injectManifest: {
        rollupFormat: 'iife',
        globPatterns: ['**/*'],
        globIgnores: ['sw.js', 'social.png'],
        maximumFileSizeToCacheInBytes: 32e6, // the demo's files are listed too, but fetched only when used
      },
    }),
  ],
  build: {
    outDir: 'dist',
    target: 'esnext',
    // A data: URL would break the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: ['index.html', 'help.html'] },
  },
  worker: { format: 'es' },
  server: { watch: { ignored: ['**/target/**', '**/dist/**'] } },
});
