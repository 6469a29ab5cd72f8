/** Images computed on the processor: by default without a graphics card, as by WebGPU, and cancelled at once. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, soon } from './harness.mjs';
import { PATIENCE, deviation, difference, enter, finished, generate, pixels, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Opens a page with the demo ready to generate in two steps, where the browser says of so many cores. */
async function openDemo(cores) {
  const { page, errors } = await site.open();
  if (cores) {
    await page.addInitScript((cores) => {
      Object.defineProperty(Navigator.prototype, 'hardwareConcurrency', { get: () => cores });
    }, cores);
    await page.reload();
  }
  await page.click('#try-demo');
  await reportOf(page, 'duotone.safetensors');
  await ready(page);
  await page.fill('#steps', '2');
  await page.press('#steps', 'Tab');
  return { page, errors };
}

/** The engine's worker and the second one, which it starts by its own address; none without the second one. */
function bothWorkers(page) {
  const isTwice = (address) => page.workers().filter((worker) => worker.url() === address).length > 1;
  return page.workers().filter((worker) => isTwice(worker.url()));
}

async function choose(page, device) {
  await page.selectOption('#device', device);
  await page.waitForSelector(`[data-testid=device][data-device=${device}]`, PATIENCE);
  await ready(page);
}

describe('the processor', () => {
  it('is used where the graphics card is emulated, and its images are those of WebGPU', async () => {
    const { page, errors } = await openDemo();
    await soon(async () => {
      assert.equal(await page.getByTestId('device').getAttribute('data-device'), 'cpu');
      assert.match(await page.getByTestId('device').innerText(), /processor/);
    });
    await page.getByTestId('estimate').waitFor();
    const cpu = await generate(page);
    await choose(page, 'gpu');
    const gpu = await generate(page);
    for (const which of ['without', 'with']) {
      assert.ok(deviation(cpu[which]) > 10, `${which} is not an empty image`);
      assert.ok(difference(cpu[which], gpu[which]) < 0.05, `${which}: ${difference(cpu[which], gpu[which])}`);
    }
    assert.ok(difference(cpu.without, cpu.with) > 2);
    assert.deepEqual(errors, []);
  });

  it('gives the image without a LoRA at strength 0', async () => {
    const { page } = await openDemo();
    await page.fill('#strength', '0');
    await page.press('#strength', 'Tab');
    const { without, with: zero } = await generate(page);
    assert.deepEqual(zero, without);
  });

  it('shares guided calls between two workers, without changing a bit of the image', async () => {
    const alone = await openDemo(1);
    await soon(async () => assert.match(await alone.page.getByTestId('estimate').innerText(), /About/));
    assert.doesNotMatch(await alone.page.getByTestId('estimate').innerText(), /Two workers/);
    const wanted = await generate(alone.page);
    assert.equal(bothWorkers(alone.page).length, 0);
    await alone.page.context().close();
    const { page, errors } = await openDemo(2);
    await soon(async () => assert.match(await page.getByTestId('estimate').innerText(), /Two workers/));
    assert.deepEqual(await generate(page), wanted);
    assert.equal(bothWorkers(page).length, 2);
    // Another strength reaches both; strength 0 is no LoRA.
    await enter(page, { strength: 0 });
    const { without, with: zero } = await generate(page);
    assert.deepEqual([without, zero], [wanted.without, wanted.without]);
    assert.deepEqual(errors, []);
  });

  it('goes on alone if the second worker breaks', async () => {
    const alone = await openDemo(1);
    await enter(alone.page, { steps: 12 });
    const wanted = await generate(alone.page);
    await alone.page.context().close();
    const { page } = await openDemo(2);
    await enter(page, { steps: 12 });
    await page.click('#generate');
    await soon(() => assert.equal(bothWorkers(page).length, 2));
    const fail = () => self.name === 'second' && setTimeout(() => Promise.reject(new Error('broken')));
    for (const worker of bothWorkers(page)) await worker.evaluate(fail);
    await finished(page);
    assert.equal(await page.locator('#run [role=alert]').count(), 0, await page.getByTestId('run').innerText());
    assert.deepEqual(await pixels(page, 'with'), wanted.with);
    assert.equal(bothWorkers(page).length, 0, 'it was left');
  });

  it('stops within a step', async () => {
    const { page } = await openDemo();
    await page.fill('#steps', '100');
    await page.press('#steps', 'Tab');
    await page.click('#generate');
    await page.waitForFunction(
      () => /step [1-9]/i.test(document.querySelector('#progress-what')?.textContent ?? ''),
      null,
      PATIENCE,
    );
    const started = Date.now();
    await page.click('#cancel');
    await finished(page);
    assert.ok(Date.now() - started < 5000, `${Date.now() - started} ms`);
  });
});
