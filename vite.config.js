/** Turns index.html, web/ and pkg/ into dist/, which works under any path of any static host. */
import { defineConfig } from 'vite';

export default defineConfig({
  base: './',
  publicDir: 'web/public',
  build: {
    outDir: 'dist',
    target: 'esnext',
    // A data: URL would break the page's Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: 'es' },
  server: { watch: { ignored: ['**/target/**', '**/dist/**'] } },
});
