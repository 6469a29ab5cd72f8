/** Images computed on the processor: by default without a graphics card, as by WebGPU, and cancelled at once. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { launch, soon } from './harness.mjs';
import { PATIENCE, deviation, difference, finished, generate, ready, reportOf } from './studio.mjs';

let site;
before(async () => (site = await launch()));
after(() => site?.close());

/** Opens a page with the demo ready to generate in two steps. */
async function openDemo() {
  const { page, errors } = await site.open();
  await page.click('#try-demo');
  await reportOf(page, 'duotone.safetensors');
  await ready(page);
  await page.fill('#steps', '2');
  await page.press('#steps', 'Tab');
  return { page, errors };
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
