/** Distances of mini-sd15's networks and images from diffusers', on the device of an engine. */
import * as g from './goldens.js';

/** Returns the distances of the text encoder's, UNet's and VAE decoder's outputs; the engine has the model open. */
export async function networks(engine) {
  const root = 'golden/components/mini-sd15';
  const text = {};
  const states = await g.tensors(`${root}/text.safetensors`);
  for (let prompt = 0; prompt < 5; prompt++) {
    const at = (name) => states[`text_encoder.p${prompt}.${name}`].data;
    const tokens = await engine.probe_tokens(Uint32Array.from(at('input_ids')));
    const got = await engine.probe_network({ text_encoder: { batch: 1, tokens: 77 } }, { tokens }, []);
    text[`prompt ${prompt}`] = g.relRms(got.states, at('last_hidden_state'));
  }
  const unet = {};
  const cases = await g.tensors(`${root}/unet.safetensors`);
  for (const name of ['b1_t981', 'b1_t1', 'b2_t421', 'odd_t946p4737']) {
    const at = (part) => cases[`${name}.${part}`];
    const [batch, , height, width] = at('sample').shape;
    const inputs = {
      sample: g.channelsLast(at('sample')),
      time: g.repeat(g.sinusoid(at('timestep').data[0], 16), batch),
      text: at('encoder_hidden_states').data,
    };
    const got = await engine.probe_network({ unet: { batch, height, width, tokens: 77 } }, inputs, []);
    unet[name] = g.relRms(got.noise, g.channelsLast(at('out')));
  }
  const vae = {};
  const decoded = await g.tensors(`${root}/vae.safetensors`);
  for (const name of ['dec_b1', 'dec_b2']) {
    const [batch, , height, width] = decoded[`${name}.latents`].shape;
    const inputs = { latents: g.channelsLast(decoded[`${name}.latents`]) };
    const got = await engine.probe_network({ vae_decoder: { batch, height, width } }, inputs, []);
    vae[name] = g.relRms(got.image, g.channelsLast(decoded[`${name}.image`]));
  }
  return { text, unet, vae };
}

/** Returns the distances of the latents of images, with and without LoRAs; the engine has the model open. */
export async function images(engine) {
  const root = 'golden/e2e/mini-sd15';
  const cases = await g.json(`${root}/cases.json`);
  const ids = {};
  for (const name of ['lora_a', 'lora_b']) {
    const file = new File([await g.blob(`golden/loras/mini-sd15/${name}.safetensors`)], `${name}.safetensors`);
    ids[name] = await g.remembered(engine, file);
  }
  const distances = {};
  const names = [
    'ddim',
    'euler',
    'euler_othersize',
    'lora_a_1.0',
    'lora_a_0.6',
    'lora_a_-0.5',
    'lora_a_0.7_plus_b_0.4',
  ];
  for (const name of names) {
    const { prompt, negative, seed, steps, cfg, hw, sched, lora } = cases.find((entry) => entry.name === name);
    const adapters = (lora ?? []).map(([name, strength]) => ({ name, sha256: ids[name], strength }));
    const got = await engine.probe_image({
      version: 1,
      model: 'mini-sd15',
      adapters,
      prompt,
      negative: negative ?? '',
      seed,
      steps,
      guidance: cfg,
      sampler: sched,
      width: hw[1],
      height: hw[0],
    });
    const golden = await g.tensors(`${root}/${name}.safetensors`);
    distances[name] = g.relRms(got.latents, g.channelsLast(golden.final_latents));
  }
  return distances;
}
