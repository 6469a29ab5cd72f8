/** What crosses between the page and the engine; generated from the Rust types by tests/types.rs. */

export type Report = { 
/**
 * Its name, without folders.
 */
file: string, 
/**
 * Its length in bytes.
 */
size: number, 
/**
 * Only the header was read: norms, scales, alphas, hashes and faults of numbers are not known.
 */
headers_only: boolean, 
/**
 * SHA-256 of the whole file, in lower-case hexadecimal; empty where only the header was read.
 */
sha256: string, 
/**
 * SHA-256 of its length and all that its header says: equal for copies of one file.
 */
header_sha256: string, 
/**
 * How its bytes are organised.
 */
container: Container, 
/**
 * What it is.
 */
kind: FileKind, 
/**
 * One plain sentence: what it is, for what, how strong; or why it is refused and what to do.
 */
verdict: string, 
/**
 * The spelling of its keys; empty where it has none.
 */
convention: string, 
/**
 * The families of algorithms inside.
 */
algorithms: Array<string>, 
/**
 * The family of models that it was made for.
 */
base: Base, 
/**
 * Every layer that it changes, in the file's order.
 */
modules: Array<ModuleRow>, 
/**
 * Every key that changes nothing.
 */
leftovers: Array<LeftoverRow>, 
/**
 * How much of each block it changes, in network order.
 */
coverage: Array<Coverage>, 
/**
 * What each program that loads adapters does with it.
 */
loaders: Array<LoaderVerdict>, 
/**
 * Every name that its pickles would import.
 */
imports: Array<ImportRow>, 
/**
 * What the header says of the training; null where it says nothing.
 */
training: Training | null, 
/**
 * The header's `__metadata__`.
 */
metadata: { [key in string]: string }, 
/**
 * What is wrong.
 */
problems: Array<Problem>, };

export type Container = "safetensors" | "pickle_zip" | "pickle_legacy" | "gguf" | "zip" | "unknown";

export type FileKind = "adapter" | "checkpoint" | "textual_inversion" | "vae" | "hypernetwork" | "control_net" | "ip_adapter" | "motion_module" | "text_encoder" | "vision_model" | "upscaler" | "html" | "json" | "git_lfs" | "gguf" | "image" | "pickle" | "empty" | "unknown";

export type Base = { 
/**
 * `sd15`, `sd21`, `sdxl`, `flux1`, … or `unknown`.
 */
family: string, 
/**
 * Its name for people.
 */
label: string, 
/**
 * What in the file says so, in sentences.
 */
evidence: Array<string>, };

export type ModuleRow = { 
/**
 * diffusers' path with the network before it: `unet.down_blocks.0…`.
 */
path: string, 
/**
 * The family of algorithms.
 */
algorithm: string, 
/**
 * Its rank, where the algorithm has one.
 */
rank: number | null, 
/**
 * alpha, where the file or its config gives one.
 */
alpha: number | null, 
/**
 * What the change is multiplied by at strength 1.
 */
scale: number, 
/**
 * How its numbers are stored.
 */
dtype: string, 
/**
 * Frobenius norm of the change at strength 1; null where it depends on the base's weights.
 */
norm: number | null, 
/**
 * Shape of the change.
 */
shape: Array<number>, 
/**
 * The block of [`Coverage`] that it lies in.
 */
block: string, };

export type LeftoverRow = { 
/**
 * The key.
 */
key: string, 
/**
 * Why.
 */
reason: string, };

export type Coverage = { 
/**
 * `text_encoder`, `text_encoder_2`, `text_encoder_3`, `unet`, `transformer`, `prior` or `language_model`.
 */
component: string, 
/**
 * `TE00`…, `BASE`, `IN00`…, `MID`, `OUT00`…, `END`; of transformers `D00`…, `S00`…, …
 */
block: string, 
/**
 * Where that is, for people.
 */
label: string, 
/**
 * Linear and convolution layers that change.
 */
covered: number, 
/**
 * Linear and convolution layers in all.
 */
total: number, 
/**
 * Frobenius norm of all changes together at strength 1, as far as it is known.
 */
norm: number, };

export type LoaderVerdict = { 
/**
 * Its short name: `comfyui`, `a1111`, `forge`, `diffusers`, `invokeai`, `stable_diffusion_cpp`, `this_page`.
 */
loader: string, 
/**
 * Its name for people.
 */
label: string, 
/**
 * The version that this holds for, and when its rules were read.
 */
version: string, 
/**
 * What becomes of the file.
 */
status: LoaderStatus, 
/**
 * Layers that are applied.
 */
applied: number, 
/**
 * Layers that the file changes.
 */
total: number, 
/**
 * Why not all, in a sentence; empty where all are.
 */
reason: string, 
/**
 * The line that it prints.
 */
log: string | null, 
/**
 * How the effect differs from what the file means, and by how much.
 */
strength_note: string | null, };

export type LoaderStatus = "applied" | "partly" | "ignored" | "refused";

export type LogExplanation = { 
/**
 * The loader that prints such lines: `comfyui`, …; null where several do.
 */
loader: string | null, 
/**
 * The key or layer that the line names, where it names one.
 */
key: string | null, 
/**
 * The layer that the file changes by this key: `unet.down_blocks.0…`; null where it is none.
 */
path: string | null, 
/**
 * What the line says, in a sentence.
 */
means: string, 
/**
 * What the file says to that: why, and what to do.
 */
reason: string, };

export type ImportRow = { 
/**
 * `torch._utils._rebuild_tensor_v2`, `os.system`, …
 */
name: string, 
/**
 * Which of the file's pickles.
 */
place: string, 
/**
 * What that would mean.
 */
verdict: ImportVerdict, };

export type ImportVerdict = "harmless" | "unknown" | "dangerous";

export type Training = { 
/**
 * The program that trained, by the marks that it leaves.
 */
trainer: string | null, 
/**
 * Settings in a fixed order, only those that are there.
 */
settings: Array<Setting>, 
/**
 * Words that call up what was learned, the surest first.
 */
trigger_words: Array<TriggerWord>, 
/**
 * The most frequent tags of the captions, at most 100.
 */
tags: Array<TagCount>, 
/**
 * How many different tags there are.
 */
tag_total: number, 
/**
 * Folders of training images.
 */
datasets: Array<Dataset>, 
/**
 * Sizes that images were brought to.
 */
buckets: Array<Bucket>, 
/**
 * The metadata key whose value is a preview as a data URL.
 */
preview_key: string | null, };

export type Setting = { 
/**
 * For programs: `optimizer`, …
 */
name: string, 
/**
 * For people.
 */
label: string, 
/**
 * What it was.
 */
value: string, };

export type TriggerWord = { 
/**
 * The word or phrase.
 */
text: string, 
/**
 * What says so.
 */
source: string, };

export type TagCount = { 
/**
 * The tag.
 */
tag: string, 
/**
 * Captions.
 */
count: number, };

export type Dataset = { 
/**
 * Its name.
 */
folder: string, 
/**
 * Images in it.
 */
images: number, 
/**
 * How often each was shown an epoch.
 */
repeats: number, };

export type Bucket = { 
/**
 * Pixels.
 */
width: number, 
/**
 * Pixels.
 */
height: number, 
/**
 * Images, with repeats.
 */
images: number, };

export type Summary = { 
/**
 * Its name or path.
 */
file: string, 
/**
 * Its length in bytes.
 */
size: number, 
/**
 * Equal for copies of one file.
 */
header_sha256: string, 
/**
 * How its bytes are organised.
 */
container: Container, 
/**
 * What it is.
 */
kind: FileKind, 
/**
 * The family of models that it was made for: `sd15`, …, or `unknown`.
 */
family: string, 
/**
 * The family's name for people.
 */
label: string, 
/**
 * The spelling of its keys.
 */
convention: string, 
/**
 * The algorithms inside, joined by commas.
 */
algorithms: string, 
/**
 * The smallest rank; null without any.
 */
rank_low: number | null, 
/**
 * The largest rank.
 */
rank_high: number | null, 
/**
 * Layers that it changes.
 */
layers: number, 
/**
 * Of those, in text encoders.
 */
text_layers: number, 
/**
 * Keys that change nothing.
 */
leftovers: number, 
/**
 * How its numbers are stored, joined by commas.
 */
dtypes: string, 
/**
 * The program that trained it.
 */
trainer: string | null, 
/**
 * Its title or the name that it was saved under.
 */
title: string | null, 
/**
 * Words that call up what was learned, joined by commas.
 */
trigger_words: string, 
/**
 * Short names of the loaders that apply all of it.
 */
works_in: Array<string>, 
/**
 * The worst problem's short name; null without one.
 */
problem: string | null, 
/**
 * What it is, or what is wrong, in a sentence.
 */
verdict: string, };

export type Problem = { 
/**
 * Its short name: `truncated`, `shape_mismatch`, …
 */
class: string, 
/**
 * Whether the file can be used all the same.
 */
severity: Severity, 
/**
 * What is wrong and what to do.
 */
message: string, 
/**
 * The layers concerned, if only some are.
 */
modules: Array<string>, };

export type Severity = "refuse" | "warn";

export type Recipe = { 
/**
 * 1.
 */
version: number, 
/**
 * Name of the base model.
 */
model: string, 
/**
 * Adapters, in the order in which they were chosen; the sum does not depend on it.
 */
adapters: Array<AdapterChoice>, 
/**
 * What to draw.
 */
prompt: string, 
/**
 * What to keep away from; null for nothing, which SDXL tells from an empty text.
 */
negative: string | null, 
/**
 * Seed of the first latent: its low 32 bits, as PyTorch's CPU generator takes it.
 */
seed: number, 
/**
 * Sampling steps.
 */
steps: number, 
/**
 * Classifier-free guidance; 1 leaves out the negative prompt and its cost.
 */
guidance: number, 
/**
 * Name of the sampler: `ddim`, `euler`, …
 */
sampler: string, 
/**
 * Pixels.
 */
width: number, 
/**
 * Pixels.
 */
height: number, 
/**
 * Spacing of the noise levels, in place of the model's.
 */
schedule?: "timesteps" | "karras" | "exponential", 
/**
 * Choice of timesteps, in place of the model's.
 */
spacing?: "leading" | "linspace" | "trailing", 
/**
 * Where noise comes from.
 */
rng?: Rng, 
/**
 * How the prompts are read.
 */
syntax?: Syntax, 
/**
 * Layers of the text encoder left out at the end, beyond what the model itself leaves out:
 * diffusers' `clip_skip`, one less than the web UIs' number.
 */
clip_skip?: number, 
/**
 * Pictures drawn at once, their noise from one generator one after the other.
 */
batch?: number, 
/**
 * With a picture to start from: how far to go from it, 0 to 1.
 */
denoise?: number, };

export type AdapterChoice = { 
/**
 * File name, for people.
 */
name: string, 
/**
 * What identifies it.
 */
sha256: string, 
/**
 * 0 changes nothing, 1 is what was trained.
 */
strength: number, 
/**
 * The same for the text encoders, where it differs.
 */
text_encoder?: number, };

export type Rng = "torch" | "philox";

export type Syntax = "plain" | "a1111";

export type Infotext = { 
/**
 * The prompt without `<lora:…>`.
 */
prompt: string, 
/**
 * The negative prompt.
 */
negative: string, 
/**
 * LoRAs that the prompt mentions.
 */
adapters: Array<Mention>, 
/**
 * Sampling steps.
 */
steps: number | null, 
/**
 * Our name of the sampler: `euler_a`.
 */
sampler: string | null, 
/**
 * Spacing of the noise levels.
 */
schedule: "timesteps" | "karras" | "exponential" | null, 
/**
 * Classifier-free guidance.
 */
guidance: number | null, 
/**
 * Seed of the first latent.
 */
seed: number | null, 
/**
 * Width and height in pixels.
 */
size: [number, number] | null, 
/**
 * The base model's name, without the file's ending.
 */
model: string | null, 
/**
 * First 10 hex digits of the SHA-256 of the model's file.
 */
model_hash: string | null, 
/**
 * Share of the steps that image-to-image takes, 0 to 1.
 */
denoise: number | null, 
/**
 * Which layer of the text encoder counts, from its end: 1 is the last one, which a text that says nothing means.
 */
clip_skip: number | null, 
/**
 * Where noise comes from.
 */
rng: Rng | null, 
/**
 * The program that wrote the text.
 */
version: string | null, 
/**
 * What was read and not understood.
 */
leftovers: Array<Leftover>, };

export type Mention = { 
/**
 * Its file's name without the ending.
 */
name: string, 
/**
 * Strength in the text encoder.
 */
text_encoder: number, 
/**
 * Strength in the UNet.
 */
unet: number, 
/**
 * First hex digits of the SHA-256 of the file without its header (12 by the web UI) or of the whole file (10 by Civitai).
 */
hash: string | null, };

export type Leftover = { 
/**
 * Name of the setting.
 */
name: string, 
/**
 * Its value, as it stands there.
 */
value: string, 
/**
 * Why it has no effect.
 */
reason: string, };

export type GpuInfo = { 
/**
 * The adapter's name, or what the browser tells of it.
 */
adapter: string, 
/**
 * `vulkan`, `metal`, `dx12` or `webgpu`.
 */
backend: string, 
/**
 * It is the processor in disguise.
 */
software: boolean, 
/**
 * Storage of 16-bit floats is possible.
 */
shader_f16: boolean, 
/**
 * Most bytes of one binding.
 */
max_binding: number, };

export type ModelInfo = { 
/**
 * What people call it.
 */
name: string, 
/**
 * Short name of its family: `sd15`.
 */
family: string, 
/**
 * The family's name for people.
 */
label: string, 
/**
 * Numbers in all networks.
 */
parameters: number, 
/**
 * Pixels that it was made for.
 */
width: number, 
/**
 * Pixels that it was made for.
 */
height: number, 
/**
 * Width and height must be multiples of this.
 */
multiple: number, 
/**
 * Names of the samplers that it can be drawn with.
 */
samplers: Array<string>, };

export type Stage = "load" | "text" | "adapters" | "denoise" | "decode";

export type PageProgress = { 
/**
 * What is being done.
 */
stage: Stage, 
/**
 * Parts of the stage that are done.
 */
step: number, 
/**
 * Parts of the stage.
 */
steps: number, 
/**
 * Seconds until the stage is over, where it can be told.
 */
seconds_left: number | null, };

export type Applied = { 
/**
 * The file's name.
 */
name: string, 
/**
 * Layers that changed.
 */
matched: number, 
/**
 * Keys that name nothing in this model.
 */
leftovers: number, };

export type PictureInfo = { 
/**
 * Pixels.
 */
width: number, 
/**
 * Pixels.
 */
height: number, 
/**
 * Time that it took.
 */
seconds: number, 
/**
 * What each adapter did.
 */
applied: Array<Applied>, };

export type Picture = PictureInfo & { rgba: Uint8ClampedArray<ArrayBuffer>; png: Uint8Array<ArrayBuffer> };

export type PngInfo = { 
/**
 * This program's recipe.
 */
recipe: Recipe | null, 
/**
 * What the web UIs write.
 */
infotext: Infotext | null, };

export type EngineError = { 
/**
 * For programs: `cancelled`, `busy`, `no_webgpu`, `gpu`, `adapter`, `recipe`, `model`, `file`.
 */
kind: string, 
/**
 * For people.
 */
message: string, };
