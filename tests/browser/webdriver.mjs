/** WebKit by WebDriver: Debian's WebKitWebDriver with its MiniBrowser, on a virtual screen. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { STEP, until, within } from './harness.mjs';

/** The key of an element in WebDriver's answers. */
const ELEMENT = 'element-6066-11e4-a52e-4f735466cecf';

/** What Safari has and WebKitGTK leaves switched off: the private file system. */
const FEATURES = '+StorageAPI,+StorageAPIEstimate,+FileSystem,+AccessHandle';

/** The browser beside the library that the driver uses. */
async function miniBrowser() {
  const folder = `/usr/lib/${{ x64: 'x86_64', arm64: 'aarch64' }[process.arch]}-linux-gnu`;
  const [newest] = (await readdir(folder))
    .filter((name) => name.startsWith('webkit'))
    .sort()
    .reverse();
  return `${folder}/${newest}/MiniBrowser`;
}

/** Starts WebKit; returns a page and `close()`. */
export async function launchWebKit() {
  const screen = spawn('Xvfb', ['-displayfd', '1', '-screen', '0', '1280x900x24'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const [number] = await within(STEP, 'Xvfb to start', once(screen.stdout, 'data'));
  const port = await freePort();
  const env = { ...process.env, DISPLAY: `:${String(number).trim()}`, LANG: 'en_US.UTF-8', LANGUAGE: 'en' };
  const driver = spawn('WebKitWebDriver', [`--port=${port}`], { env, stdio: 'ignore' });
  const ask = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
    return value;
  };
  await until('WebKitWebDriver to answer', () => ask('GET', '/status').catch(() => null));
  const options = { binary: await miniBrowser(), args: ['--automation', `--features=${FEATURES}`] };
  const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': options } };
  const { sessionId } = await within(STEP, 'WebKit to start', ask('POST', '/session', { capabilities }));
  const session = (method, path, body) => within(STEP, path, ask(method, `/session/${sessionId}${path}`, body));

  async function close() {
    await session('DELETE', '').catch(() => {});
    driver.kill();
    screen.kill();
  }
  return { page: pageOf(session), close };
}

/** What the tests do with a page. */
function pageOf(session) {
  const run = (code, ...args) => session('POST', '/execute/sync', { script: `return (${code})(...arguments)`, args });
  const find = (selector) =>
    until(`${selector} in WebKit`, () =>
      session('POST', '/element', { using: 'css selector', value: selector }).catch(() => null),
    );
  const at = async (selector) => (await find(selector))[ELEMENT];
  return {
    run,
    find,
    open: (url) => session('POST', '/url', { url }),
    reload: () => session('POST', '/refresh', {}),
    /** By script: the driver finds no place to click on in a `summary`. */
    click: async (selector) => {
      await find(selector);
      await run('(selector) => void document.querySelector(selector).click()', selector);
    },
    /** Chooses a file, or types. */
    type: async (selector, text) => session('POST', `/element/${await at(selector)}/value`, { text }),
    text: async (selector) => session('GET', `/element/${await at(selector)}/text`),
  };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}
