/** The engine's short names -> words for people. A name that is not listed is shown as it is. */

/** @param {Record<string, string>} words @param {string} name */
export function word(words, name) {
  return words[name] ?? name.replaceAll("_", " ");
}

/** @type {Record<string, string>} */
export const ALGORITHMS = {
  lora: "LoRA",
  locon: "LoCon (LoRA on convolutions)",
  locon_tucker: "LoCon with cores",
  dylora: "DyLoRA",
  loha: "LoHa",
  loha_tucker: "LoHa with cores",
  lokr: "LoKr",
  lokr_tucker: "LoKr with cores",
  glora: "GLoRA",
  glora_old: "GLoRA, older layout",
  ia3: "(IA)³",
  full: "full difference",
  norm: "normalisation layers",
  diag_oft: "diagonal OFT",
  oft: "OFT",
  boft: "BOFT",
  dora: "DoRA",
};

/** @type {Record<string, string>} */
export const CONVENTIONS = {
  kohya: "kohya",
  kohya_ldm: "kohya, original block names",
  peft_prefixed: "diffusers (PEFT)",
  peft_plain: "PEFT",
  diffusers: "diffusers",
  diffusers_attn_procs: "old diffusers, attention processors",
  diffusers_attn_procs_no_prefix: "old diffusers, attention processors, no prefix",
  comfy: "ComfyUI",
};

/** @type {Record<string, string>} */
export const KINDS = {
  adapter: "Adapter",
  checkpoint: "Full checkpoint",
  textual_inversion: "Textual inversion",
  vae: "Autoencoder (VAE)",
  hypernetwork: "Hypernetwork",
  control_net: "ControlNet",
  ip_adapter: "IP-Adapter",
  motion_module: "Motion module",
  text_encoder: "Text encoder",
  vision_model: "Vision model",
  upscaler: "Upscaler",
  html: "Web page",
  json: "JSON text",
  git_lfs: "Git LFS pointer",
  gguf: "GGUF file",
  image: "Image",
  pickle: "Pickle",
  empty: "Empty file",
  unknown: "Unknown file",
};

/** @type {Record<string, string>} */
export const PROBLEMS = {
  truncated: "The file is cut off",
  bad_header: "The header is broken",
  duplicate_key: "A name appears twice",
  bad_offsets: "The header points to wrong places",
  bad_shape: "A shape is impossible",
  bad_dtype: "A number format is unknown",
  bad_zip: "The zip archive is broken",
  bad_pickle: "The pickle is broken",
  unsafe_pickle: "The file would run code",
  unknown_global: "The file asks for unknown code",
  resource_bomb: "The file would fill the memory",
  unsupported_format: "This format is not supported",
  not_an_adapter: "This is not a LoRA",
  full_checkpoint: "This is a whole model",
  textual_inversion: "This is a textual inversion",
  wrong_base: "Made for another model",
  shape_mismatch: "Layers of another size",
  rank_mismatch: "Ranks do not agree",
  incomplete_pair: "Half of a pair is missing",
  unmatched_keys: "Some names address nothing",
  nan_inf: "Broken numbers inside",
  no_effect: "It changes nothing",
  ambiguous_alpha: "The strength is ambiguous",
  archive: "It is packed in an archive",
  bad_config: "The config cannot be read",
  unreadable: "The file cannot be opened",
};

/** @type {Record<string, string>} */
export const COMPONENTS = {
  text_encoder: "Text encoder",
  text_encoder_2: "Second text encoder",
  text_encoder_3: "Third text encoder",
  unet: "UNet",
  transformer: "Transformer",
  prior: "Prior",
  language_model: "Language model",
};

/** What a program does with a file. @type {Record<import("./engine/types.d.ts").LoaderStatus, { name: string, says: string }>} */
export const LOADER_STATUS = {
  applied: { name: "works", says: "All of it is applied" },
  partly: { name: "in part", says: "Part of it is applied" },
  ignored: { name: "ignored in silence", says: "Nothing is applied, and nothing is said" },
  refused: { name: "refused", says: "It stops with an error" },
};

/** What importing a name would mean: for one name, and for the file whose worst it is. @type {Record<import("./engine/types.d.ts").ImportVerdict, { name: string, file: string }>} */
export const IMPORTS = {
  dangerous: { name: "Dangerous", file: "No. It would run code of whoever made it on the machine of whoever opens it. Do not open it with any other program." },
  unknown: { name: "Unknown", file: "Not for sure. It asks for code that a file of weights does not need; programs that check refuse it." },
  harmless: { name: "Harmless", file: "Yes, as far as its pickles go: they only ask for what rebuilds tensors. A safetensors copy cannot carry code at all." },
};

/** What can be changed of a file. @type {Record<import("./types.d.ts").ChangeKind, { name: string, says: string }>} */
export const CHANGES = {
  convert: { name: "Names and numbers", says: "Give the layers the names that another program knows, store the numbers in another type, turn LoHa and LoKr into plain LoRA." },
  resize: { name: "Rank", says: "Keep what matters in fewer numbers: every layer gets the nearest change of a lower rank." },
  blocks: { name: "Blocks", says: "Make parts of the network act more, less or not at all, and keep that in the file. In Stable Diffusion IN blocks are said to shape the composition, MID and OUT style and detail." },
  metadata: { name: "Metadata", says: "Set trigger words and titles, remove what tells of you, put wrong hashes right." },
  merge: { name: "Merge", says: "Put several LoRAs into one file, whatever their ranks, algorithms and names: it acts like all of them at these strengths." },
  bake: { name: "Bake LoRAs in", says: "Add LoRAs to this model's weights for good: the new model acts as the old one with them at these strengths." },
  extract: { name: "Extract a LoRA", says: "Take what makes this model differ from the one that it was trained from, as a LoRA." },
  export: { name: "As safetensors", says: "Write the same tensors as safetensors, a format that cannot carry code." },
};

/** Conventions of names that can be written. @type {Record<import("./engine/types.d.ts").Target, string>} */
export const TARGETS = {
  kohya: "kohya (web UIs, most programs)",
  peft: "PEFT",
  diffusers: "diffusers",
  comfy: "ComfyUI",
  onetrainer: "OneTrainer",
};

/** @type {Record<string, string>} */
export const DTYPES = { F16: "16-bit (F16)", BF16: "16-bit with F32's range (BF16)", F32: "32-bit (F32)" };

/** How a hash in a header is wrong. @type {Record<import("./engine/types.d.ts").ClaimVerdict, string>} */
export const CLAIMS = {
  right: "It is right.",
  prefix: "The digits are right, but 0x stands where it does not belong, or is missing; programs that compare texts do not find the file.",
  of_nothing: "It is the hash of nothing at all: every file with it counts as one and the same.",
  wrong: "The numbers were changed after it was written, or it was copied from another file.",
};

/** @type {Record<string, string>} */
export const SAMPLERS = {
  ddim: "DDIM",
  euler: "Euler",
  euler_a: "Euler, ancestral",
  dpmpp_2m: "DPM++ 2M",
  dpmpp_2m_sde: "DPM++ 2M SDE",
  dpmpp_2s_a: "DPM++ 2S a",
  dpmpp_sde: "DPM++ SDE",
  heun: "Heun",
  dpm2: "DPM2",
  dpm2_a: "DPM2, ancestral",
  lms: "LMS",
  pndm: "PNDM",
  unipc: "UniPC",
  lcm: "LCM",
  tcd: "TCD",
};

/** The metadata that people look for first, in this order. @type {Record<string, string>} */
export const METADATA = {
  "modelspec.title": "Title",
  "modelspec.author": "Author",
  "modelspec.description": "Description",
  "modelspec.trigger_phrase": "Trigger phrase",
  "modelspec.usage_hint": "How to use",
  "modelspec.license": "Licence",
  "modelspec.date": "Date",
  "modelspec.architecture": "Architecture",
  ss_output_name: "Name given in training",
  ss_training_comment: "Comment",
  ss_sd_model_name: "Trained on",
  ss_base_model_version: "Base version",
  ss_network_module: "Trainer module",
  ss_network_dim: "Rank (network dim)",
  ss_network_alpha: "Alpha",
  ss_network_args: "Network options",
  ss_resolution: "Resolution",
  ss_num_train_images: "Training pictures",
  ss_num_epochs: "Epochs",
  ss_steps: "Steps",
  ss_max_train_steps: "Steps planned",
  ss_total_batch_size: "Batch size",
  ss_learning_rate: "Learning rate",
  ss_unet_lr: "Learning rate, UNet",
  ss_text_encoder_lr: "Learning rate, text encoder",
  ss_lr_scheduler: "Schedule",
  ss_optimizer: "Optimizer",
  ss_mixed_precision: "Training precision",
  ss_clip_skip: "Clip skip",
  ss_noise_offset: "Noise offset",
  ss_min_snr_gamma: "Min SNR gamma",
  ss_seed: "Seed",
  ss_training_started_at: "Started",
  ss_training_finished_at: "Finished",
};
