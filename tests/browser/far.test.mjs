/** Remote base models: a diffusers folder and a single file on another origin, read with range requests. */
import assert from 'node:assert/strict';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launch } from './harness.mjs';
import { PATIENCE, deviation, difference, enter, generate, ready } from './studio.mjs';

const TESTS = new URL('../', import.meta.url);
const MINI = 'golden/pipelines/mini-sd15';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Serves the files of tests/ from another origin. `asked` lists path, status and bytes of each response. */
async function elsewhere() {
  const asked = [];
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    const headers = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'content-range' };
    const file = new URL(`.${pathname}`, TESTS);
    const size = await stat(file).then(
      (info) => (info.isFile() ? info.size : null),
      () => null,
    );
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const status = size === null ? 404 : first === undefined ? 400 : 206;
    const [start, end] = [Number(first), Math.min(Number(last), size - 1)];
    asked.push({ path: pathname.slice(1), status, bytes: status === 206 ? end - start + 1 : 0 });
    if (status !== 206) return response.writeHead(status, headers).end();
    response.writeHead(206, {
      ...headers,
      'content-range': `bytes ${start}-${end}/${size}`,
      'content-length': end - start + 1,
    });
    createReadStream(file, { start, end }).pipe(response);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const close = () => (server.closeAllConnections(), server.close());
  return { origin: `http://127.0.0.1:${server.address().port}`, asked, close };
}

/** Opens a page and enters the URL of a model. */
async function openFar(address) {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await ready(page);
  await page.getByText('Use your own checkpoint').click();
  await page.fill('#far-model', address);
  await page.press('#far-model', 'Enter');
  return { page, errors };
}

async function fourSteps(page) {
  await page.selectOption('#lora', '');
  await page.fill('#prompt', 'a cat on a mat');
  await enter(page, { steps: 2, guidance: 5 });
  return (await generate(page)).without;
}

describe('a model at another origin', () => {
  it('draws from a diffusers folder the image that the same folder on this computer gives', async (test) => {
    const other = await elsewhere();
    test.after(other.close);
    const { page, errors } = await openFar(`${other.origin}/${MINI}`);
    await page.getByText('mini-sd15: ').waitFor(PATIENCE);
    const weights = () =>
      other.asked.filter(
        ({ path, status }) => path.endsWith('unet/diffusion_pytorch_model.safetensors') && status === 206,
      );
    const size = (await stat(new URL(`${MINI}/unet/diffusion_pytorch_model.safetensors`, TESTS))).size;
    const read = () => weights().reduce((sum, { bytes }) => sum + bytes, 0);
    assert.ok(read() < size / 4, `the header alone is read at first, and not ${read()} of ${size} bytes`);
    const far = await fourSteps(page);
    assert.ok(deviation(far) > 1);
    assert.ok(read() > size * 0.8 && weights().length > 20, 'tensor by tensor');
    assert.ok(read() < size * 1.2, `once, although the steps have guidance: ${read()} of ${size} bytes`);
    assert.ok(
      other.asked.every(({ path, status }) => status === 206 || (status === 404 && /_2\/|fp16|tokenizer/.test(path))),
      JSON.stringify(other.asked.filter(({ status }) => status !== 206)),
    );

    const here = await site.open();
    await here.page.click('#try-demo');
    await ready(here.page);
    await here.page.getByText('Use your own checkpoint').click();
    await here.page.setInputFiles('#pick-folder', fileURLToPath(new URL(MINI, TESTS)));
    await here.page.getByText('mini-sd15: ').waitFor(PATIENCE);
    await here.page.fill('#seed', await page.inputValue('#seed'));
    assert.equal(difference(await fourSteps(here.page), far), 0);
    assert.deepEqual(
      errors.filter((text) => !text.includes('404') && !text.startsWith(other.origin)),
      [],
    );
  });

  it('is named where it is none, and where the server has no such file', async (test) => {
    const other = await elsewhere();
    test.after(other.close);
    const { page } = await openFar(`${other.origin}/golden/loras`);
    const error = page.getByTestId('far-model-error');
    await error.waitFor(PATIENCE);
    assert.match(await error.innerText(), /no diffusers model: there is no unet\/config\.json/);
    await page.fill('#far-model', `${other.origin}/nowhere/model.safetensors`);
    await page.click('#open-far-model');
    await error.getByText(/has no such file/).waitFor(PATIENCE);
    await page.fill('#far-model', `${other.origin}/hostile/full_checkpoint.safetensors`);
    await page.click('#open-far-model');
    await page
      .locator('#run [role=alert]')
      .filter({ hasText: 'full_checkpoint.safetensors cannot be used as a base model' })
      .waitFor(PATIENCE);
    assert.equal(await page.inputValue('#base'), 'demo');
  });
});
