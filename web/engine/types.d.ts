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
 * How strong the changes are and how much of their ranks they use; null where no layer's
 * singular values were computed.
 */
health: Health | null, 
/**
 * What programs and sites know the file by; null where only the header was read.
 */
hashes: Hashes | null, 
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
 * Frobenius norm of the change at strength 1; null where it depends on the base's weights and
 * no base was at hand.
 */
norm: number | null, 
/**
 * Frobenius norm of the base model's weight; null where no base was at hand.
 */
base_norm: number | null, 
/**
 * Its singular values in a few numbers; null where it depends on the base's weights or has
 * too many.
 */
strength: Strength | null, 
/**
 * Shape of the change.
 */
shape: Array<number>, 
/**
 * The block of [`Coverage`] that it lies in.
 */
block: string, };

export type Strength = { 
/**
 * The largest: the spectral norm.
 */
spectral: number, 
/**
 * ‖·‖²_F / ‖·‖²: how many directions of the strongest one's strength there are.
 */
stable_rank: number, 
/**
 * exp of the entropy of the values' shares.
 */
effective_rank: number, 
/**
 * The smallest rank that keeps 90 % of the energy Σσ².
 */
rank_90: number, 
/**
 * The smallest rank that keeps 98 % of it.
 */
rank_98: number, };

export type Health = { 
/**
 * Layers whose singular values were computed.
 */
layers: number, 
/**
 * Median over the layers of ‖change‖ / ‖weight‖; the weight's norm is the base model's, or
 * estimated from its size.
 */
relative: number, 
/**
 * Whether every weight's norm is the base model's own.
 */
measured: boolean, 
/**
 * How many times the upper end of what is usual the strength is; 1 where it is usual.
 */
times_usual: number, 
/**
 * The one rank for all layers that keeps 98 % of the energy of all together.
 */
rank_98: number, 
/**
 * The largest rank in the file.
 */
rank: number, 
/**
 * Bytes of the layers now.
 */
bytes: number, 
/**
 * Bytes at [`Health::rank_98`].
 */
bytes_98: number, 
/**
 * Share of the layers that change nothing.
 */
untrained: number, 
/**
 * Share of all layers' energy Σσ² that every layer cut to rank 1, 2, … keeps, up to the largest rank.
 */
energy: Array<number>, 
/**
 * Layers whose norm is far above the others', the strongest first.
 */
outliers: Array<string>, 
/**
 * Plain sentences, the most important first.
 */
sentences: Array<string>, };

export type Measures = { 
/**
 * Every layer that changes.
 */
modules: Array<ModuleRow>, 
/**
 * The blocks.
 */
coverage: Array<Coverage>, 
/**
 * How strong all are together.
 */
health: Health | null, };

export type Weighing = { 
/**
 * What the report then says.
 */
measures: Measures, 
/**
 * What makes the file as strong as is usual, where it is stronger.
 */
usual_strength: Fix | null, };

export type Hashes = { 
/**
 * SHA-256 of the whole file.
 */
sha256: string, 
/**
 * A1111's first: 8 digits of the SHA-256 of 64 KiB at 1 MiB; none where the file is shorter.
 */
auto_v1: string | null, 
/**
 * 10 digits of `sha256`.
 */
auto_v2: string, 
/**
 * 12 digits of `model`.
 */
auto_v3: string | null, 
/**
 * SHA-256 of the bytes after the header; none where the file has no safetensors header. It
 * stays the same when metadata change.
 */
model: string | null, 
/**
 * What sd-scripts writes as `sshs_legacy_hash`.
 */
legacy: string | null, 
/**
 * Every hash that the header claims.
 */
claims: Array<Claim>, };

export type Claim = { 
/**
 * The metadata key.
 */
key: string, 
/**
 * Its value.
 */
says: string, 
/**
 * What its value should be.
 */
should_say: string, 
/**
 * How they differ.
 */
verdict: ClaimVerdict, };

export type ClaimVerdict = "right" | "prefix" | "of_nothing" | "wrong";

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

export type LoaderStatus = "applied" | "partly" | "ignored" | "refused" | "unknown";

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

export type ReadProgress = { 
/**
 * 0 to 1, of the layers, or of the hashes.
 */
done: number, 
/**
 * Whether the hashes are being made.
 */
hashing: boolean, 
/**
 * Layers that were read since the last message.
 */
rows: Array<ModuleRow>, };

export type Inspected = { 
/**
 * What it is.
 */
report: Report, 
/**
 * Edits that mend what is wrong, the most useful first.
 */
fixes: Array<Fix>, };

export type LayerSpectrum = { 
/**
 * At strength 1.
 */
values: Array<number>, 
/**
 * Frobenius norm.
 */
frobenius: number, 
/**
 * The largest singular value.
 */
spectral: number, 
/**
 * ‖·‖²_F over the square of the largest.
 */
stable_rank: number, 
/**
 * exp of the entropy of the values' shares of their sum.
 */
effective_rank: number, 
/**
 * Share of the energy that each rank keeps, from 1 on.
 */
energy: Array<number>, };

export type ComparedFiles = { 
/**
 * What they are to each other.
 */
sentence: string, 
/**
 * Layer by layer, and metadata.
 */
comparison: Comparison, };

export type Comparison = { 
/**
 * What they are to each other.
 */
relation: Relation, 
/**
 * Every tensor that either changes, in the first file's order.
 */
layers: Array<LayerComparison>, 
/**
 * Metadata keys with other values.
 */
metadata: Array<MetadataDifference>, };

export type Relation = { "kind": "same" } | { "kind": "rescaled", 
/**
 * The strength at which the first is the second.
 */
factor: number, } | { "kind": "resized", 
/**
 * Share of the first's energy that the second keeps.
 */
energy: number, } | { "kind": "enlarged", 
/**
 * Share of the second's energy that the first keeps.
 */
energy: number, } | { "kind": "merged_from" } | { "kind": "merged_into" } | { "kind": "related", 
/**
 * The mean of the layers' cosines, weighted by both norms.
 */
cosine: number, } | { "kind": "different" } | { "kind": "incomparable" };

export type LayerComparison = { 
/**
 * The tensor: `unet.down_blocks.0….weight`.
 */
tensor: string, 
/**
 * The first file's change, where it is a matrix in factors.
 */
a: SideOfLayer | null, 
/**
 * The second's.
 */
b: SideOfLayer | null, 
/**
 * Whether both have the same numbers, which is all that can be said of what is no matrix.
 */
identical: boolean, 
/**
 * Inner product over both norms: 1 the same direction, 0 nothing in common; none where one
 * file does not change the layer or is zero there.
 */
cosine: number | null, };

export type SideOfLayer = { 
/**
 * Frobenius norm at strength 1.
 */
norm: number, 
/**
 * The most that its rank can be.
 */
rank: number, 
/**
 * Σσ² of as many of the largest singular values as the other's rank is.
 */
energy_at_other_rank: number, 
/**
 * Share of its energy that lies among the directions of the other; none where the other has so
 * many that this says nothing.
 */
inside_other: number | null, };

export type MetadataDifference = { 
/**
 * The key.
 */
key: string, 
/**
 * The first file's value.
 */
a: string | null, 
/**
 * The second's.
 */
b: string | null, };

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

export type Edit = { "kind": "convert" } & ConvertOptions | { "kind": "resize" } & ResizeOptions | { "kind": "merge" } & MergeEdit | { "kind": "extract" } & ExtractOptions | { "kind": "bake" } & BakeEdit | { "kind": "metadata" } & MetadataEdit | { "kind": "export" };

export type ConvertOptions = { 
/**
 * The convention; none keeps the file's names.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; none keeps each layer's own.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Where the scale goes.
 */
alpha: AlphaPlace, 
/**
 * Whether LoHa, LoKr and LoCon with cores become LoRA where the convention could hold them.
 */
as_lora: boolean, 
/**
 * The rank of what cannot become a LoRA without loss.
 */
rank: number | null, 
/**
 * Whether what has no place or is incomplete is left out, instead of an error.
 */
drop: boolean, 
/**
 * Whether keys that change no layer are copied.
 */
keep_leftovers: boolean, 
/**
 * What the blocks' changes are multiplied by.
 */
strengths: Strengths, 
/**
 * Layers that are left out, by the paths of a report: `unet.down_blocks.0…`.
 */
without: Array<string>, };

export type AlphaPlace = "usual" | "kept" | "baked";

export type Target = "kohya" | "peft" | "diffusers" | "comfy" | "onetrainer";

export type Strengths = Record<string, number>;

export type ResizeOptions = { 
/**
 * The rank of each layer.
 */
rule: RankRule, 
/**
 * The most that a rank may be.
 */
most: number | null, 
/**
 * The convention; none keeps the file's names.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; none keeps each layer's own.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Whether what is incomplete, and layers that are no matrix in factors (DoRA, OFT, norms, …), are
 * left out, instead of an error.
 */
drop: boolean, };

export type RankRule = { "fixed": number } | { "energy": number } | { "ratio": number };

export type MergeEdit = { 
/**
 * One for each file.
 */
parts: Array<MergePart>, 
/**
 * What is asked of the result.
 */
options: MergeOptions, };

export type MergePart = { 
/**
 * How strongly it acts.
 */
strength: number, 
/**
 * What its blocks are multiplied by.
 */
strengths: Strengths, };

export type MergeOptions = { 
/**
 * The rank of each layer; none keeps the sum without loss.
 */
rule: RankRule | null, 
/**
 * The convention; none takes the first file's.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; none takes what holds all inputs' numbers.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Whether what is incomplete or cannot be added (DoRA, OFT, …) is left out, instead of an error.
 */
drop: boolean, };

export type ExtractOptions = { 
/**
 * The rank of every layer, or less where a layer has less.
 */
rank: number, 
/**
 * The convention.
 */
to: Target, 
/**
 * F32, F16 or BF16.
 */
dtype: "F32" | "F16" | "BF16", };

export type BakeEdit = { 
/**
 * One for each adapter.
 */
parts: Array<MergePart>, };

export type MetadataEdit = { 
/**
 * Keys and their new values.
 */
set: Array<[string, string]>, 
/**
 * Keys that go; one that ends in `*` means all that start so.
 */
remove: Array<string>, 
/**
 * Whether what tells of the person or the machine goes: paths, data sets, comments, sessions.
 */
strip_private: boolean, 
/**
 * Whether the hashes are put right, or in where there are none.
 */
repair_hashes: boolean, };

export type Preview = { "kind": "convert" } & ConvertPreview | { "kind": "resize" } & ResizePreview | { "kind": "merge" } & MergePreview | { "kind": "extract" } & ExtractPreview | { "kind": "bake" } & BakePreview | { "kind": "metadata" } & MetadataPreview | { "kind": "export" } & ExportPreview;

export type ConvertPreview = { 
/**
 * The file's convention.
 */
from: string, 
/**
 * The result's, where it is another.
 */
to: Target | null, 
/**
 * Keys with another name.
 */
renamed: Array<Renamed>, 
/**
 * Keys that the result lacks.
 */
dropped: Array<DroppedKey>, 
/**
 * Layers whose scale goes into their numbers.
 */
baked: Array<BakedScale>, 
/**
 * Layers whose algorithm becomes LoRA.
 */
rebuilt: Array<Rebuilt>, 
/**
 * Fused layers whose change is shared out to their parts.
 */
split: Array<string>, 
/**
 * Layers that get the changes of their parts.
 */
fused: Array<string>, 
/**
 * Layers with another number type.
 */
retyped: number, 
/**
 * Tensors before.
 */
tensors_before: number, 
/**
 * Tensors after.
 */
tensors_after: number, 
/**
 * Bytes before.
 */
size_before: number, 
/**
 * Bytes after.
 */
size_after: number, };

export type Renamed = { 
/**
 * Before.
 */
from: string, 
/**
 * After.
 */
to: string, };

export type DroppedKey = { 
/**
 * The key.
 */
key: string, 
/**
 * Why.
 */
reason: string, };

export type BakedScale = { 
/**
 * The layer.
 */
path: string, 
/**
 * What its first factor is multiplied by.
 */
scale: number, };

export type Rebuilt = { 
/**
 * The algorithm before.
 */
algorithm: string, 
/**
 * Whether the LoRA is the same change but for rounding.
 */
exact: boolean, 
/**
 * The layer.
 */
path: string, 
/**
 * Its rank before, where its algorithm has one.
 */
rank_before: number | null, 
/**
 * Its rank now.
 */
rank: number, 
/**
 * Frobenius norm before.
 */
norm: number, 
/**
 * Share of the energy Σσ² that is kept: 1 − (error / norm)².
 */
energy: number, 
/**
 * Frobenius norm of what is lost.
 */
error: number, };

export type KeptRow = { 
/**
 * The layer.
 */
path: string, 
/**
 * Its rank before, where its algorithm has one.
 */
rank_before: number | null, 
/**
 * Its rank now.
 */
rank: number, 
/**
 * Frobenius norm before.
 */
norm: number, 
/**
 * Share of the energy Σσ² that is kept: 1 − (error / norm)².
 */
energy: number, 
/**
 * Frobenius norm of what is lost.
 */
error: number, };

export type ResizePreview = { 
/**
 * Every layer.
 */
layers: Array<KeptRow>, 
/**
 * Share of the energy Σσ² of all layers together that is kept.
 */
energy: number, 
/**
 * Keys that the result lacks.
 */
dropped: Array<DroppedKey>, 
/**
 * Bytes before.
 */
size_before: number, 
/**
 * Bytes after.
 */
size_after: number, };

export type MergePreview = { 
/**
 * Every layer that is a LoRA in the result; the rank before is the sum of the inputs'.
 */
layers: Array<KeptRow>, 
/**
 * Layers that more than one file changes.
 */
shared: number, 
/**
 * Share of the energy Σσ² of all layers together that is kept.
 */
energy: number, 
/**
 * Keys that the result lacks.
 */
dropped: Array<DroppedKey>, 
/**
 * Bytes of all inputs.
 */
size_before: number, 
/**
 * Bytes of the result.
 */
size_after: number, };

export type ExtractPreview = { 
/**
 * Layers that differ.
 */
layers: number, 
/**
 * Layers that are the same in both.
 */
unchanged: number, 
/**
 * Tensors that differ and have no place in a LoRA: norms, biases, embeddings.
 */
left_out: Array<string>, 
/**
 * Bytes of the result.
 */
size_after: number, };

export type BakePreview = { 
/**
 * The model's family, for people.
 */
label: string, 
/**
 * Tensors that change.
 */
tensors: number, 
/**
 * Tensors of the result.
 */
tensors_after: number, 
/**
 * What is odd about the adapters, in sentences.
 */
warnings: Array<string>, 
/**
 * Bytes of the result.
 */
size_after: number, };

export type MetadataPreview = { 
/**
 * Every key whose value changes, in order.
 */
changes: Array<MetadataChange>, 
/**
 * The metadata of the result.
 */
metadata: { [key in string]: string }, 
/**
 * Bytes before.
 */
size_before: number, 
/**
 * Bytes after.
 */
size_after: number, };

export type MetadataChange = { 
/**
 * The key.
 */
key: string, 
/**
 * Its value before; none for a new key.
 */
before: string | null, 
/**
 * Its value after; none for a key that goes.
 */
after: string | null, };

export type ExportPreview = { 
/**
 * Tensors in the file, and in the result.
 */
tensors: number, 
/**
 * Bytes before.
 */
size_before: number, 
/**
 * Bytes after.
 */
size_after: number, };

export type Edited = { 
/**
 * What changed.
 */
preview: Preview, 
/**
 * What came of it.
 */
outcome: Outcome, 
/**
 * What each layer keeps, where only writing tells (extractions).
 */
kept: Array<KeptRow>, };

export type Outcome = { 
/**
 * The result's size in bytes.
 */
size: number, 
/**
 * Tensors in it.
 */
tensors: number, 
/**
 * Tensors of which numbers were too small for the number type.
 */
thinned: Array<Thinned>, };

export type Thinned = { 
/**
 * Its key.
 */
key: string, 
/**
 * How many numbers became zero, of those that were not.
 */
share: number, };

export type EditProgress = { 
/**
 * Bytes read.
 */
done: number, 
/**
 * Bytes that are to be read, as far as can be told.
 */
total: number, };

export type Fix = { 
/**
 * Short name: `rename_kohya`, `remove_strays`, `repair_hashes`, …
 */
id: string, 
/**
 * What it does, as on a button.
 */
title: string, 
/**
 * What that is good for, in a sentence.
 */
why: string, 
/**
 * Classes of the report's problems that it mends.
 */
problems: Array<string>, 
/**
 * Short names of the loaders that then apply all of the file.
 */
loaders: Array<string>, 
/**
 * The edit, for this file alone.
 */
edit: Edit, };

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
 * Classifier-free guidance; 1 and less leave out the negative prompt and its cost.
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
schedule?: "timesteps" | "karras" | "exponential" | "sgm_uniform" | "simple" | "beta" | "ays", 
/**
 * Choice of timesteps, in place of the model's.
 */
spacing?: "leading" | "linspace" | "trailing", 
/**
 * Share of fresh noise in each step, 0 to 1, for samplers that have it.
 */
eta?: number, 
/**
 * Where noise comes from.
 */
rng?: Rng, 
/**
 * How the prompts are read.
 */
syntax?: Syntax, 
/**
 * Layers of the text encoder left out at the end: diffusers' `clip_skip`, one less than the web UIs'
 * number. Read plainly, they are beyond those that SDXL itself leaves out, and negative prompts keep
 * all, as in diffusers; in the web UIs' syntax both are as there.
 */
clip_skip?: number, 
/**
 * Pictures drawn at once, their noise from one generator one after the other.
 */
batch?: number, 
/**
 * With a picture to start from: how far to go from it, 0 to 1.
 */
denoise?: number, 
/**
 * With a picture to start from: a mask comes with it, and only what is white there is drawn anew.
 */
masked?: boolean, 
/**
 * A second pass over the picture at a larger size.
 */
hires?: Hires, 
/**
 * Textual inversions that the prompts call by name.
 */
embeddings?: Array<EmbeddingChoice>, };

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
text_encoder?: number, 
/**
 * What the strength is multiplied by in some blocks, `IN04=0.5,MID=0` or a list of 12, 17, 20 or 26 numbers.
 */
blocks?: string, 
/**
 * The web UIs' hash of its file, where it is known: 12 digits of the SHA-256 of what stands behind the header.
 */
hash?: string, };

export type EmbeddingChoice = { 
/**
 * File name, for people.
 */
name: string, 
/**
 * What identifies it.
 */
sha256: string, };

export type Hires = { 
/**
 * Times as wide and high.
 */
scale: number, 
/**
 * How far to go from the first pass, 0 to 1.
 */
denoise: number, 
/**
 * Sampling steps; 0 for as many as the first pass has.
 */
steps?: number, 
/**
 * What is made larger.
 */
upscaler?: Upscaler, };

export type Upscaler = "latent" | "pixels";

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
schedule: "timesteps" | "karras" | "exponential" | "sgm_uniform" | "simple" | "beta" | "ays" | null, 
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
 * Share of fresh noise in each step.
 */
eta: number | null, 
/**
 * A second pass at a larger size.
 */
hires: Hires | null, 
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
 * Strengths of blocks, as sd-webui-lora-block-weight writes them.
 */
blocks: string | null, 
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
 * Adapter name, as reported by the driver or the browser.
 */
adapter: string, 
/**
 * `vulkan`, `metal`, `dx12` or `webgpu`.
 */
backend: string, 
/**
 * Software rasterizer: the adapter runs on the CPU.
 */
software: boolean, 
/**
 * Whether the device has `shader-f16`, i.e. f16 arithmetic.
 */
shader_f16: boolean, 
/**
 * Maximum size of a storage buffer binding in bytes.
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
samplers: Array<string>, 
/**
 * Those of them that have a spacing of noise levels.
 */
spaced: Array<string>, 
/**
 * Those of them that have fresh noise in each step.
 */
fresh: Array<string>, };

export type Stage = "tune" | "load" | "text" | "adapters" | "denoise" | "decode";

export type PreviewInfo = { 
/**
 * Pixels.
 */
width: number, 
/**
 * Pixels.
 */
height: number, };

export type Preview = PreviewInfo & { rgba: Uint8ClampedArray<ArrayBuffer> };

export type PageProgress = ProgressInfo & { preview?: Preview };

export type ProgressInfo = { 
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

export type Row = { 
/**
 * `roof`, `kernels`, `networks`, `pictures`, `strength`.
 */
group: string, 
/**
 * What was timed, with its sizes.
 */
name: string, 
/**
 * How long it took.
 */
ours_ms: Spread, 
/**
 * Billions of floating-point operations a second, at the median; of a copy, gigabytes a second.
 */
gflops: number | null, 
/**
 * Part of what the device's arithmetic can do at most.
 */
share_of_roof: number | null, };

export type Spread = { 
/**
 * The best.
 */
min: number, 
/**
 * The middle one: what is compared.
 */
median: number, 
/**
 * The worst.
 */
max: number, };

export type EngineError = { 
/**
 * For programs: `cancelled`, `busy`, `no_webgpu`, `gpu`, `adapter`, `recipe`, `model`, `file`.
 */
kind: string, 
/**
 * For people.
 */
message: string, };
