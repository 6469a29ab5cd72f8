/**
 * Compares images that the engine generates in headless Chromium with a folder of goldens (pipelines/, e2e/ and loras/
 * with diffusers' outputs); `cargo run -p lora-loupe-tests -- goldens` does the same natively. Not part of the tests:
 * the repository has the goldens of one family only.
 *
 *     cargo xtask test page
 *     CHROME_PATH=/usr/bin/chromium node tests/make/goldens.mjs DIR [NAME…]
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { BLANK, launch } from '../browser/harness.mjs';

/** The goldens' tolerance for latents in f32. */
const LIMIT = 2e-4;
const [folder, ...only] = process.argv.slice(2);

const site = await launch();
for (const path of readdirSync(folder, { recursive: true })) {
  if (/\.(json|txt|safetensors)$/.test(path)) site.changed.set(`/tests/all/${path}`, readFileSync(join(folder, path)));
}
let failed = 0;
try {
  const { page } = await site.open(BLANK);
  page.setDefaultTimeout(0);
  await page.evaluate(async () => {
    globalThis.g = await import('/tests/browser/goldens.js');
    globalThis.engine = await g.engine();
  });
  for (const name of readdirSync(join(folder, 'e2e'))) {
    if (only.length > 0 && !only.includes(name)) continue;
    // Python writes infinities, which are not valid JSON.
    const cases = JSON.parse(
      readFileSync(join(folder, 'e2e', name, 'cases.json'), 'utf8').replaceAll('-Infinity', 'null'),
    );
    // Other cases have an initial image, or cannot be expressed as a recipe.
    const plain = cases.filter(
      (given) => !given.strength && !given.batch && !given.variant && !given.name.includes('prompt2'),
    );
    for (const given of plain) {
      const distance = await page.evaluate(drawn, { name, given });
      failed += distance <= LIMIT ? 0 : 1;
      console.log(`${name} ${given.name}: ${distance.toExponential(1)}${distance <= LIMIT ? '' : '  FAILED'}`);
    }
  }
} finally {
  await site.close();
}
if (failed > 0) throw new Error(`${failed} images are further than ${LIMIT} from diffusers'`);

/** Runs in the page: generates a case with its scheduler and returns the distance of its latents. */
async function drawn({ name, given }) {
  const { prompt, negative, seed, steps, cfg, hw, sched, lora, scheduler_config } = given;
  const files = await g.model(`all/pipelines/${name}`, name.endsWith('xl') ? ['', '_2'] : ['']);
  files.find(({ path }) => path.startsWith('scheduler/')).file = new Blob([JSON.stringify(scheduler_config)]);
  await engine.open_model(name, files);
  const adapters = [];
  for (const [id, strength] of lora ?? []) {
    const file = new File([await g.blob(`all/loras/${name}/${id}.safetensors`)], `${id}.safetensors`);
    adapters.push({ name: id, sha256: (await engine.inspect({ file })).report.sha256, strength });
  }
  const sampler = sched.replace(/_(karras|trailing|leading|4steps).*/, '');
  const recipe = {
    version: 1,
    model: name,
    adapters,
    prompt,
    negative,
    seed,
    steps,
    guidance: cfg,
    sampler,
    width: hw[1],
    height: hw[0],
  };
  const { latents } = await engine.probe_image(recipe);
  const golden = await g.tensors(`all/e2e/${name}/${given.name}.safetensors`);
  return g.relRms(latents, g.channelsLast(golden.final_latents));
}
