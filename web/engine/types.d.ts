/** Types of the interface between the page and the engine; generated from the Rust types by tests/types.rs. */

export type Sentence = { 
/**
 * Key of its text in en.json and in the page's languages.
 */
id: string, 
/**
 * Values of the text's placeholders.
 */
values: { [key in string]: SentenceValue }, 
/**
 * English text.
 */
text: string, };

export type SentenceValue = number | number | string | Sentence | Array<Sentence>;

export type Report = { 
/**
 * Version of this structure and of the sentences' ids: 2.
 */
version: number, 
/**
 * File name, without folders.
 */
file: string, 
/**
 * File size in bytes.
 */
size: number, 
/**
 * Only the header was read: norms, scales, alphas, hashes and invalid values are unknown.
 */
headers_only: boolean, 
/**
 * SHA-256 of the whole file, in lower-case hexadecimal; empty if only the header was read.
 */
sha256: string, 
/**
 * SHA-256 of the file size and the header's content: equal for copies of one file.
 */
header_sha256: string, 
/**
 * File format.
 */
container: Container, 
/**
 * Kind of file.
 */
kind: FileKind, 
/**
 * One sentence: kind, base model and strength, or why the file cannot be used and what to do.
 */
verdict: Sentence, 
/**
 * Key format; empty if none is known.
 */
convention: string, 
/**
 * Algorithms of the changes.
 */
algorithms: Array<string>, 
/**
 * The base model it was made for.
 */
base: Base, 
/**
 * Every changed layer, in file order.
 */
modules: Array<ModuleRow>, 
/**
 * Unused keys.
 */
leftovers: Array<LeftoverRow>, 
/**
 * Changed layers per block, in network order.
 */
coverage: Array<Coverage>, 
/**
 * Compatibility with each adapter loader.
 */
loaders: Array<LoaderVerdict>, 
/**
 * Every global that its pickles import.
 */
imports: Array<ImportRow>, 
/**
 * Strength and rank statistics; null if no layer's singular values were computed.
 */
health: Health | null, 
/**
 * Numbers by whose cosine copies, and merges, of the adapter are found; null if some layers were not read, or no change is
 * known without the base model.
 */
signature: Signature | null, 
/**
 * Hashes that programs and sites identify the file by; null if only the header was read.
 */
hashes: Hashes | null, 
/**
 * Training information from the header; null if there is none.
 */
training: Training | null, 
/**
 * The header's `__metadata__`.
 */
metadata: { [key in string]: string }, 
/**
 * Problems of the file.
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
 * Display name.
 */
label: string, 
/**
 * Evidence for the family.
 */
evidence: Array<Sentence>, 
/**
 * Other models of the family that explain the file as well, if nothing in it decides.
 */
variants: Array<string>, 
/**
 * Other families that explain the file as well, if nothing in it decides.
 */
others: Array<Base>, };

export type ModuleRow = { 
/**
 * diffusers' path after the network's name: `unet.down_blocks.0…`.
 */
path: string, 
/**
 * Algorithm of the change.
 */
algorithm: string, 
/**
 * Rank, if the algorithm has one.
 */
rank: number | null, 
/**
 * alpha, if the file or its config has one.
 */
alpha: number | null, 
/**
 * Factor of the change at strength 1.
 */
scale: number, 
/**
 * Dtype of the tensors.
 */
dtype: string, 
/**
 * Frobenius norm of the change at strength 1; null if it depends on the base weights and no base
 * model was given.
 */
norm: number | null, 
/**
 * Frobenius norm of the base model's weight; null if no base model was given.
 */
base_norm: number | null, 
/**
 * Statistics of the singular values; null if these depend on the base weights or take too long.
 */
strength: Strength | null, 
/**
 * Shape of the change.
 */
shape: Array<number>, 
/**
 * The layer's block, see [`Coverage`].
 */
block: string, };

export type Strength = { 
/**
 * The spectral norm, i.e. the largest singular value.
 */
spectral: number, 
/**
 * Stable rank ‖·‖²_F / ‖·‖²₂.
 */
stable_rank: number, 
/**
 * Effective rank: exp of the entropy of the normalized singular values.
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
 * Number of layers with computed singular values.
 */
layers: number, 
/**
 * Median over the layers of ‖change‖ / ‖weight‖; ‖weight‖ is the base model's, or estimated from
 * the layer's size.
 */
relative: number, 
/**
 * Whether every ‖weight‖ is the base model's.
 */
measured: boolean, 
/**
 * Usual range of `relative` for the model family; null if it is not known.
 */
usual: [number, number] | null, 
/**
 * `relative` as a multiple of the nearest end of the usual range; 1 within the range, null if it is not known.
 */
times_usual: number | null, 
/**
 * The smallest uniform rank that keeps 98 % of the total energy.
 */
rank_98: number, 
/**
 * The largest rank in the file.
 */
rank: number, 
/**
 * Size of the layers in bytes.
 */
bytes: number, 
/**
 * Size in bytes at [`Health::rank_98`].
 */
bytes_98: number, 
/**
 * Fraction of layers whose change is zero.
 */
untrained: number, 
/**
 * Number of layers whose change is zero because their alpha is 0.
 */
zero_alpha: number, 
/**
 * Fraction of the total energy Σσ² kept when all layers are cut to rank 1, 2, …, up to the largest rank.
 */
energy: Array<number>, 
/**
 * Layers whose norm is far above the median, strongest first.
 */
outliers: Array<string>, 
/**
 * The largest norm of a layer as a multiple of the median norm; 0 if all are zero.
 */
peak: number, 
/**
 * Number of layers of rank 4 or more with at least 99 % of their energy in one direction.
 */
one_direction: number, 
/**
 * Number of layers of rank 8 or more whose singular values are nearly equal.
 */
flat: number, 
/**
 * Summary sentences, most important first.
 */
sentences: Array<Sentence>, };

export type Measures = { 
/**
 * Every changed layer.
 */
modules: Array<ModuleRow>, 
/**
 * Norm per block.
 */
coverage: Array<Coverage>, 
/**
 * Strength of the whole file.
 */
health: Health | null, };

export type Weighing = { 
/**
 * Updated measures of the report.
 */
measures: Measures, 
/**
 * Fix that scales the file to a typical strength, if it is stronger.
 */
usual_strength: Fix | null, };

export type Hashes = { 
/**
 * SHA-256 of the whole file.
 */
sha256: string, 
/**
 * A1111's legacy hash: 8 digits of the SHA-256 of 64 KiB at 1 MiB; null if the file is shorter.
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
 * SHA-256 of the bytes after the header, unaffected by metadata changes; null if the file has no
 * safetensors header.
 */
model: string | null, 
/**
 * sd-scripts' `sshs_legacy_hash`.
 */
legacy: string | null, 
/**
 * Every hash in the header.
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
 * The correct value.
 */
should_say: string, 
/**
 * Result of the verification.
 */
verdict: ClaimVerdict, };

export type ClaimVerdict = "right" | "prefix" | "of_nothing" | "wrong";

export type LeftoverRow = { 
/**
 * The key.
 */
key: string, 
/**
 * Reason, as a phrase.
 */
reason: Sentence, };

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
 * Display label of the block.
 */
label: Sentence, 
/**
 * Number of changed linear and convolution layers.
 */
covered: number, 
/**
 * Total number of linear and convolution layers.
 */
total: number, 
/**
 * Frobenius norm of all known changes together at strength 1.
 */
norm: number, };

export type LoaderVerdict = { 
/**
 * Identifier: `comfyui`, `a1111`, `forge`, `diffusers`, `invokeai`, `stable_diffusion_cpp`, `this_page`.
 */
loader: string, 
/**
 * Display name.
 */
label: string, 
/**
 * The version that the rules describe, their date, and the version since which such files load, if it is known.
 */
version: Sentence, 
/**
 * Overall result.
 */
status: LoaderStatus, 
/**
 * Number of applied layers.
 */
applied: number, 
/**
 * Number of layers that the file changes.
 */
total: number, 
/**
 * Reason why layers or keys are not applied; null if all are.
 */
reason: Sentence | null, 
/**
 * The line that the loader logs.
 */
log: string | null, 
/**
 * Difference from the intended effect, with its size.
 */
strength_note: Sentence | null, 
/**
 * What it does if the file is for another family that it fits, if that differs; see [`Base::others`].
 *
 * [`Base::others`]: super::report::Base::others
 */
otherwise: Sentence | null, 
/**
 * Why the verdict is only likely: its rules were read in the program's source and not seen in a run; null if they
 * were.
 */
likely: Sentence | null, };

export type LoaderEffect = { 
/**
 * Identifier of the loader: `comfyui`, …
 */
loader: string, 
/**
 * Its display name.
 */
label: string, 
/**
 * Number of the original file's layers that it applies.
 */
before: number, 
/**
 * Number of these layers that it applies in the edited file.
 */
after: number, 
/**
 * Number of layers that the original file changes.
 */
total: number, };

export type LoaderStatus = "applied" | "partly" | "ignored" | "refused" | "unknown";

export type LogExplanation = { 
/**
 * The loader that logs such lines: `comfyui`, …; null if several do.
 */
loader: string | null, 
/**
 * The key or layer in the line, if there is one.
 */
key: string | null, 
/**
 * The layer that the file changes with this key: `unet.down_blocks.0…`; null if there is none.
 */
path: string | null, 
/**
 * Meaning of the line.
 */
means: Sentence, 
/**
 * Cause in this file, and what to do.
 */
reason: Sentence, };

export type ImportRow = { 
/**
 * `torch._utils._rebuild_tensor_v2`, `os.system`, …, or a phrase for a name that the pickle computes.
 */
name: Sentence | string, 
/**
 * The pickle within the file: its path in an archive, or a phrase with its number.
 */
place: Sentence | string, 
/**
 * Whether the import is dangerous.
 */
verdict: ImportVerdict, };

export type ImportVerdict = "harmless" | "unknown" | "dangerous";

export type Training = { 
/**
 * The trainer, detected from its metadata keys.
 */
trainer: string | null, 
/**
 * Settings in a fixed order; missing ones are omitted.
 */
settings: Array<Setting>, 
/**
 * Trigger words, most certain first.
 */
trigger_words: Array<TriggerWord>, 
/**
 * The most frequent caption tags, at most 100.
 */
tags: Array<TagCount>, 
/**
 * Number of distinct tags.
 */
tag_total: number, 
/**
 * Folders of training images.
 */
datasets: Array<Dataset>, 
/**
 * Resolution buckets.
 */
buckets: Array<Bucket>, 
/**
 * The metadata key that holds a preview image as a data URL.
 */
preview_key: string | null, };

export type Setting = { 
/**
 * Identifier: `optimizer`, …
 */
name: string, 
/**
 * Display name.
 */
label: Sentence, 
/**
 * Its value: a text of the header, or a phrase.
 */
value: Sentence | string, };

export type TriggerWord = { 
/**
 * The word or phrase.
 */
text: string, 
/**
 * Its source: a metadata key, or a phrase that names a folder.
 */
source: Sentence | string, };

export type TagCount = { 
/**
 * The tag.
 */
tag: string, 
/**
 * Number of captions with the tag.
 */
count: number, };

export type Dataset = { 
/**
 * Folder name.
 */
folder: string, 
/**
 * Number of images.
 */
images: number, 
/**
 * Repeats of each image per epoch.
 */
repeats: number, };

export type Bucket = { 
/**
 * Width in pixels.
 */
width: number, 
/**
 * Height in pixels.
 */
height: number, 
/**
 * Number of images, counting repeats.
 */
images: number, };

export type Summary = { 
/**
 * File name or path.
 */
file: string, 
/**
 * File size in bytes.
 */
size: number, 
/**
 * Hash of the header; equal for copies of one file.
 */
header_sha256: string, 
/**
 * File format.
 */
container: Container, 
/**
 * Kind of file.
 */
kind: FileKind, 
/**
 * Base model family: `sd15`, …, or `unknown`.
 */
family: string, 
/**
 * Display names of the family and of others that the file fits, joined by " / ".
 */
label: string, 
/**
 * Key format.
 */
convention: string, 
/**
 * Algorithms, joined by commas.
 */
algorithms: string, 
/**
 * The smallest rank; null if no layer has a rank.
 */
rank_low: number | null, 
/**
 * The largest rank.
 */
rank_high: number | null, 
/**
 * Number of changed layers.
 */
layers: number, 
/**
 * Number of changed layers in text encoders.
 */
text_layers: number, 
/**
 * Number of unused keys.
 */
leftovers: number, 
/**
 * Dtypes, joined by commas.
 */
dtypes: string, 
/**
 * The program it was trained with.
 */
trainer: string | null, 
/**
 * Title from the metadata, or the output name.
 */
title: string | null, 
/**
 * Trigger words, joined by commas.
 */
trigger_words: string, 
/**
 * Identifiers of the loaders that apply the whole file.
 */
works_in: Array<string>, 
/**
 * Class of the most severe problem; null if there is none.
 */
problem: string | null, 
/**
 * The report's verdict.
 */
verdict: Sentence, };

export type ReadProgress = { 
/**
 * 0 to 1, of the layers or of the hashes.
 */
done: number, 
/**
 * Whether the hashes are being computed.
 */
hashing: boolean, 
/**
 * Layers read since the last message.
 */
rows: Array<ModuleRow>, };

export type Inspected = { 
/**
 * Report.
 */
report: Report, 
/**
 * Fixes, the most useful first.
 */
fixes: Array<Fix>, };

export type LayerSpectrum = { 
/**
 * Singular values at strength 1, largest first.
 */
values: Array<number>, 
/**
 * Frobenius norm.
 */
frobenius: number, 
/**
 * Spectral norm: the largest singular value.
 */
spectral: number, 
/**
 * Squared Frobenius norm over squared spectral norm.
 */
stable_rank: number, 
/**
 * exp of the entropy of the singular values divided by their sum.
 */
effective_rank: number, 
/**
 * Share of the energy Σσ² kept at rank 1, 2, ….
 */
energy: Array<number>, };

export type ComparedFiles = { 
/**
 * Relation of the files.
 */
sentence: Sentence, 
/**
 * Comparison by layer and of the metadata.
 */
comparison: Comparison, };

export type Comparison = { 
/**
 * Relation of the files.
 */
relation: Relation, 
/**
 * Every tensor that either file changes, in the first file's order.
 */
layers: Array<LayerComparison>, 
/**
 * Metadata keys with different values.
 */
metadata: Array<MetadataDifference>, };

export type Relation = { "kind": "same" } | { "kind": "rescaled", 
/**
 * The strength at which the first equals the second.
 */
factor: number, } | { "kind": "resized", 
/**
 * Fraction of the first's energy that the second keeps.
 */
energy: number, } | { "kind": "enlarged", 
/**
 * Fraction of the second's energy that the first keeps.
 */
energy: number, } | { "kind": "merged_from" } | { "kind": "merged_into" } | { "kind": "related", 
/**
 * The mean of the layers' cosines, weighted by both norms.
 */
cosine: number, } | { "kind": "different" } | { "kind": "incomparable" };

export type LayerComparison = { 
/**
 * Changed tensor: `unet.down_blocks.0….weight`.
 */
tensor: string, 
/**
 * The first file's change; null if it has none or the change is not a factorized matrix.
 */
a: SideOfLayer | null, 
/**
 * The second file's.
 */
b: SideOfLayer | null, 
/**
 * Whether both have equal tensors, the only comparison of changes that are not matrices.
 */
identical: boolean, 
/**
 * Cosine similarity of the changes; null if one file does not change the layer or its change is
 * zero.
 */
cosine: number | null, };

export type SideOfLayer = { 
/**
 * Frobenius norm of the change at strength 1.
 */
norm: number, 
/**
 * Largest possible rank.
 */
rank: number, 
/**
 * Σσ² of the largest singular values, as many as the other's rank.
 */
energy_at_other_rank: number, 
/**
 * Fraction of its energy within the subspace of the other; null if that is too large to be
 * meaningful.
 */
inside_other: number | null, };

export type Signature = { 
/**
 * Version of the numbers: only signatures of one version can be compared.
 */
version: number, 
/**
 * The numbers; their squares sum to 1.
 */
values: Array<number>, };

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
 * The second file's.
 */
b: string | null, };

export type Problem = { 
/**
 * Problem class: `truncated`, `shape_mismatch`, …
 */
class: string, 
/**
 * Whether the file can still be used.
 */
severity: Severity, 
/**
 * Description, with what to do about it.
 */
message: Sentence, 
/**
 * The affected layers; empty if the whole file is affected.
 */
modules: Array<string>, };

export type Severity = "refuse" | "warn";

export type Series = { 
/**
 * Name of the run.
 */
name: string, 
/**
 * Its files, the first one first; at least two.
 */
files: Array<SeriesFile>, };

export type SeriesFile = { 
/**
 * Index among the candidates.
 */
index: number, 
/**
 * Name or path.
 */
name: string, 
/**
 * Epochs trained, if known.
 */
epoch: number | null, 
/**
 * Steps trained, if known.
 */
step: number | null, };

export type SeriesProgress = { 
/**
 * The layers.
 */
layers: Array<SeriesLayer>, 
/**
 * 0 to 1, of the worker's part.
 */
done: number, };

export type SeriesLayer = { 
/**
 * Layer path.
 */
path: string, 
/**
 * The layer's block, see [`Coverage`](crate::analysis::Coverage).
 */
block: string, 
/**
 * Part of the network.
 */
part: SeriesPart, 
/**
 * One per file, in order; null if the file does not change the layer, or its change depends on the base model.
 */
points: Array<SeriesPoint | null>, };

export type SeriesPart = "text" | "attention" | "feed_forward" | "convolution" | "other";

export type SeriesPoint = { 
/**
 * Frobenius norm at strength 1.
 */
norm: number, 
/**
 * Effective rank; null if it takes too long.
 */
effective_rank: number | null, 
/**
 * Frobenius norm of the difference from the file before; null if there is none.
 */
moved: number | null, };

export type SeriesSummary = { 
/**
 * One per file.
 */
totals: Array<SeriesTotal>, 
/**
 * Norms by part of the network.
 */
parts: Array<SeriesRow>, 
/**
 * Norms by block, in the network's order.
 */
blocks: Array<SeriesRow>, 
/**
 * What they say: whether it is still growing, has settled or jumps.
 */
sentences: Array<Sentence>, };

export type SeriesTotal = { 
/**
 * Frobenius norm of all changes together.
 */
norm: number, 
/**
 * Frobenius norm of the difference from the file before; null for the first.
 */
moved: number | null, 
/**
 * Cosine similarity with the file before; null for the first.
 */
cosine: number | null, 
/**
 * Mean of the layers' effective ranks, weighted by their energy.
 */
effective_rank: number, };

export type SeriesRow = { 
/**
 * A [`SeriesPart`], or a block.
 */
name: string, 
/**
 * Frobenius norms.
 */
norms: Array<number>, };

export type Edit = { "kind": "convert" } & ConvertOptions | { "kind": "resize" } & ResizeOptions | { "kind": "merge" } & MergeEdit | { "kind": "extract" } & ExtractOptions | { "kind": "bake" } & BakeEdit | { "kind": "metadata" } & MetadataEdit | { "kind": "export" };

export type ConvertOptions = { 
/**
 * Key format; the file's own keys if absent.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; each layer's own dtype if absent.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Where the scale is stored.
 */
alpha: AlphaPlace, 
/**
 * Whether LoHa, LoKr and LoCon (Tucker) become LoRA even if the key format supports them; with a base model, also
 * OFT, BOFT, DoRA and others whose change depends on its weights.
 */
as_lora: boolean, 
/**
 * Rank of layers that have no exact LoRA.
 */
rank: number | null, 
/**
 * Whether unsupported and incomplete layers are dropped instead of causing an error.
 */
drop: boolean, 
/**
 * Whether keys that match no layer are copied.
 */
keep_leftovers: boolean, 
/**
 * Block weights.
 */
strengths: Strengths, 
/**
 * Layers to remove, by their paths in the report: `unet.down_blocks.0…`.
 */
without: Array<string>, 
/**
 * Keys to remove that belong to no delta: those of a report's leftovers.
 */
without_keys: Array<string>, 
/**
 * Whether NaN and infinite elements become 0.
 */
zero_non_finite: boolean, 
/**
 * Number of blocks of a model that was made deeper by inserting blocks, which the file's blocks are moved to.
 */
to_blocks: number | null, };

export type AlphaPlace = "usual" | "kept" | "baked";

export type Target = "kohya" | "peft" | "diffusers" | "comfy" | "onetrainer" | "aitoolkit";

export type Strengths = Record<string, number>;

export type ResizeOptions = { 
/**
 * Rule for the rank of each layer.
 */
rule: RankRule, 
/**
 * Maximum rank.
 */
most: number | null, 
/**
 * Key format; the file's own keys if absent.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; each layer's own dtype if absent.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Whether incomplete layers and those without a low-rank form (DoRA, OFT, norms, …) are dropped
 * instead of causing an error.
 */
drop: boolean, };

export type RankRule = { "fixed": number } | { "energy": number } | { "ratio": number };

export type MergeEdit = { 
/**
 * One per file, in the same order.
 */
parts: Array<MergePart>, 
/**
 * Rank, key format and dtype of the result.
 */
options: MergeOptions, };

export type MergePart = { 
/**
 * Strength of the file.
 */
strength: number, 
/**
 * Block weights, multiplied with the strength.
 */
strengths: Strengths, };

export type MergeOptions = { 
/**
 * Method.
 */
method: MergeMethod, 
/**
 * Share of each change's elements that a sparse method keeps.
 */
density: number, 
/**
 * Seed of the random elements of DARE.
 */
seed: number, 
/**
 * Position of SLERP between the first file (0) and the second (1).
 */
position: number, 
/**
 * Rank of each layer; if absent, exact, or the largest of the inputs' ranks with a sparse method, which takes fixed ranks
 * only.
 */
rule: RankRule | null, 
/**
 * Key format; the first file's if absent.
 */
to: Target | null, 
/**
 * F32, F16 or BF16; if absent, a dtype that holds the values of all inputs.
 */
dtype: "F32" | "F16" | "BF16" | null, 
/**
 * Whether layers that are incomplete or cannot be added (DoRA, OFT, …) are dropped instead of
 * causing an error.
 */
drop: boolean, };

export type MergeMethod = "linear" | "ties" | "dare" | "dare_ties" | "prune" | "slerp";

export type ExtractOptions = { 
/**
 * Rank of every layer, limited by the layer's full rank.
 */
rank: number, 
/**
 * Key format.
 */
to: Target, 
/**
 * F32, F16 or BF16.
 */
dtype: "F32" | "F16" | "BF16", };

export type BakeEdit = { 
/**
 * One per adapter, in the same order.
 */
parts: Array<MergePart>, };

export type MetadataEdit = { 
/**
 * Keys to set, with their values.
 */
set: Array<[string, string]>, 
/**
 * Keys to remove; a trailing `*` matches any suffix.
 */
remove: Array<string>, 
/**
 * Whether to remove private data: paths, datasets, comments, session ids.
 */
strip_private: boolean, 
/**
 * Whether to fix the hashes, or add missing ones.
 */
repair_hashes: boolean, };

export type Preview = { "kind": "convert" } & ConvertPreview | { "kind": "resize" } & ResizePreview | { "kind": "merge" } & MergePreview | { "kind": "extract" } & ExtractPreview | { "kind": "bake" } & BakePreview | { "kind": "metadata" } & MetadataPreview | { "kind": "export" } & ExportPreview;

export type ConvertPreview = { 
/**
 * Key format of the file.
 */
from: string, 
/**
 * Key format of the result, if the keys are renamed.
 */
to: Target | null, 
/**
 * Renamed keys.
 */
renamed: Array<Renamed>, 
/**
 * Keys that are missing from the result.
 */
dropped: Array<DroppedKey>, 
/**
 * Layers whose scale is baked into their weights.
 */
baked: Array<BakedScale>, 
/**
 * Layers of other algorithms that become LoRA.
 */
rebuilt: Array<Rebuilt>, 
/**
 * Fused layers that are split into their parts.
 */
split: Array<string>, 
/**
 * Fused layers that are assembled from their parts.
 */
fused: Array<string>, 
/**
 * Number of layers whose dtype changes.
 */
retyped: number, 
/**
 * Number of tensors before.
 */
tensors_before: number, 
/**
 * Number of tensors after.
 */
tensors_after: number, 
/**
 * Size in bytes before.
 */
size_before: number, 
/**
 * Size in bytes after.
 */
size_after: number, };

export type Renamed = { 
/**
 * Key before.
 */
from: string, 
/**
 * Key after.
 */
to: string, };

export type DroppedKey = { 
/**
 * The key.
 */
key: string, 
/**
 * Reason, as a phrase.
 */
reason: Sentence, };

export type BakedScale = { 
/**
 * Layer path.
 */
path: string, 
/**
 * Multiplier of the first factor.
 */
scale: number, };

export type Rebuilt = { 
/**
 * Algorithm before.
 */
algorithm: string, 
/**
 * Whether the LoRA equals the change up to rounding.
 */
exact: boolean, 
/**
 * Layer path.
 */
path: string, 
/**
 * Rank before, if the algorithm has one.
 */
rank_before: number | null, 
/**
 * Rank after.
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
 * Frobenius norm of the truncation error.
 */
error: number, };

export type KeptRow = { 
/**
 * Layer path.
 */
path: string, 
/**
 * Rank before, if the algorithm has one.
 */
rank_before: number | null, 
/**
 * Rank after.
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
 * Frobenius norm of the truncation error.
 */
error: number, };

export type ResizePreview = { 
/**
 * Every resized layer.
 */
layers: Array<KeptRow>, 
/**
 * Share of the total energy Σσ² of all layers that is kept.
 */
energy: number, 
/**
 * Keys that are missing from the result.
 */
dropped: Array<DroppedKey>, 
/**
 * Size in bytes before.
 */
size_before: number, 
/**
 * Size in bytes after.
 */
size_after: number, };

export type MergePreview = { 
/**
 * Number of changed layers.
 */
changed: number, 
/**
 * Layers that are LoRA in the result; the rank before is the sum of the inputs' ranks. Empty for a sparse method, whose
 * ranks are known when the result is written.
 */
layers: Array<KeptRow>, 
/**
 * Number of layers that more than one file changes.
 */
shared: number, 
/**
 * How the changes of each of these layers fit together, the least similar first.
 */
conflicts: Array<Conflict>, 
/**
 * Share of the total energy Σσ² of all layers that is kept; null for a sparse method.
 */
energy: number | null, 
/**
 * Keys that are missing from the result.
 */
dropped: Array<DroppedKey>, 
/**
 * Size of all inputs in bytes.
 */
size_before: number, 
/**
 * Size of the result in bytes.
 */
size_after: number, };

export type Conflict = { 
/**
 * Layer path.
 */
path: string, 
/**
 * Number of files that change the layer.
 */
files: number, 
/**
 * Cosine similarity of the two most different changes; null if one is zero.
 */
cosine: number | null, 
/**
 * Share of the elements, of those that more than one file changes, in which two files have opposite signs; half of them
 * in unrelated files. From up to 64 rows of the layer.
 */
opposite: number, };

export type ExtractPreview = { 
/**
 * Number of layers that differ.
 */
layers: number, 
/**
 * Number of layers that are equal in both models.
 */
unchanged: number, 
/**
 * Tensors that differ but that a LoRA cannot store: norms, biases, embeddings.
 */
left_out: Array<string>, 
/**
 * Size of the result in bytes.
 */
size_after: number, };

export type BakePreview = { 
/**
 * Display name of the model's family.
 */
label: string, 
/**
 * Number of tensors that change.
 */
tensors: number, 
/**
 * Number of tensors in the result.
 */
tensors_after: number, 
/**
 * Warnings about the adapters, as sentences.
 */
warnings: Array<Sentence>, 
/**
 * Size of the result in bytes.
 */
size_after: number, };

export type MetadataPreview = { 
/**
 * Keys whose values change, sorted.
 */
changes: Array<MetadataChange>, 
/**
 * The metadata of the result.
 */
metadata: { [key in string]: string }, 
/**
 * Size in bytes before.
 */
size_before: number, 
/**
 * Size in bytes after.
 */
size_after: number, };

export type MetadataChange = { 
/**
 * The key.
 */
key: string, 
/**
 * Value before; absent for a new key.
 */
before: string | null, 
/**
 * Value after; absent for a removed key.
 */
after: string | null, };

export type ExportPreview = { 
/**
 * Number of tensors, in the file and in the result.
 */
tensors: number, 
/**
 * Size in bytes before.
 */
size_before: number, 
/**
 * Size in bytes after.
 */
size_after: number, };

export type Edited = { 
/**
 * The changes.
 */
preview: Preview, 
/**
 * Size and losses of the written file.
 */
outcome: Outcome, 
/**
 * Energy kept per layer, for extractions and merges, which may compute it while writing.
 */
kept: Array<KeptRow>, };

export type Outcome = { 
/**
 * Size of the result in bytes.
 */
size: number, 
/**
 * Number of tensors.
 */
tensors: number, 
/**
 * Tensors with elements that were too small for the dtype.
 */
thinned: Array<Thinned>, };

export type Thinned = { 
/**
 * Key.
 */
key: string, 
/**
 * Share of the nonzero elements that became zero.
 */
share: number, };

export type EditProgress = { 
/**
 * Bytes read so far.
 */
done: number, 
/**
 * Bytes to read, estimated.
 */
total: number, };

export type Fix = { 
/**
 * Id: `rename_kohya`, `remove_strays`, `repair_hashes`, …
 */
id: string, 
/**
 * Button label.
 */
title: Sentence, 
/**
 * Reason to apply it.
 */
why: Sentence, 
/**
 * Classes of the report's problems that it fixes.
 */
problems: Array<string>, 
/**
 * Ids of the loaders that apply the whole file only after the edit.
 */
loaders: Array<string>, 
/**
 * Layers of the file that each loader applies before and after the edit, by the loaders' rules; empty if the edit
 * changes no key and was not judged.
 */
effect: Array<LoaderEffect>, 
/**
 * The edit; its only input is the file.
 */
edit: Edit, };

export type Recipe = { 
/**
 * Format version, currently 1.
 */
version: number, 
/**
 * Name of the base model.
 */
model: string, 
/**
 * Adapters, in the order in which they were chosen; the result does not depend on it.
 */
adapters: Array<AdapterChoice>, 
/**
 * Prompt.
 */
prompt: string, 
/**
 * Negative prompt; null for none, which SDXL distinguishes from an empty one.
 */
negative: string | null, 
/**
 * Seed of the initial noise, a string above 2^53 - 1; PyTorch's CPU generator uses its low 32 bits.
 */
seed: number | string, 
/**
 * Sampling steps.
 */
steps: number, 
/**
 * CFG scale; at 1 and below the negative prompt is not evaluated.
 */
guidance: number, 
/**
 * Sampler, by its name: `ddim`, `euler`, …
 */
sampler: string, 
/**
 * Width in pixels.
 */
width: number, 
/**
 * Height in pixels.
 */
height: number, 
/**
 * Schedule type: spacing of the noise levels, instead of the model's.
 */
schedule?: SigmaSpacing, 
/**
 * Timestep spacing, instead of the model's.
 */
spacing?: "leading" | "linspace" | "trailing", 
/**
 * Noise added per step, 0 to 1, for samplers with an eta.
 */
eta?: number, 
/**
 * Random number generator of the noise.
 */
rng?: Rng, 
/**
 * The program whose image this is; `syntax` in older recipes.
 */
program?: Program, 
/**
 * Settings of AUTOMATIC1111's web UI, for its images.
 */
web_ui?: WebUiSettings, 
/**
 * Final layers of the text encoder to skip: diffusers' `clip_skip`, one less than the web UIs' value. In
 * diffusers they add to those that SDXL itself skips and do not apply to negative prompts; in ComfyUI they
 * replace those of SD 2.x and SDXL and apply to both prompts; in A1111 they apply to both prompts of SD 1.x.
 */
clip_skip?: number, 
/**
 * Variation of the seed's initial noise, for images of AUTOMATIC1111's web UI.
 */
variation?: Variation, 
/**
 * Width and height in pixels whose initial noise is pasted into the middle of the image's ("Resize seed from
 * width/height"), for images of AUTOMATIC1111's web UI.
 */
seed_resize?: [number, number], 
/**
 * Emphasis mode of prompts' weights in AUTOMATIC1111's web UI.
 */
emphasis?: Emphasis, 
/**
 * Whether the shorter of prompt and negative prompt is filled up with empty chunks, the web UI's setting
 * "Pad prompt/negative prompt".
 */
pad_conds?: boolean, 
/**
 * Parametrization of the model's output, instead of the one that its files state or that is guessed.
 */
prediction?: "epsilon" | "v_prediction" | "sample", 
/**
 * Whether the noise schedule is rescaled so that its last timestep is pure noise (zero terminal SNR), instead of
 * what the model's files state.
 */
zero_snr?: boolean, 
/**
 * Share of the guided prediction that is rescaled to the deviation of the prompt's (CFG rescale), 0 to 1.
 */
guidance_rescale?: number, 
/**
 * Batch size. One generator draws the images' noise one after the other; in A1111 image i has the seed plus i.
 */
batch?: number, 
/**
 * Denoising strength for an init image, 0 to 1.
 */
denoise?: number, 
/**
 * Whether the init image comes with an inpainting mask, whose white areas are regenerated.
 */
masked?: boolean, 
/**
 * Inpaints as AUTOMATIC1111 does: the result is pasted into the init image, which then may have any size. Without, the
 * latents outside of the mask are kept, and nothing is pasted.
 */
masked_area?: MaskedAreaSettings, 
/**
 * Hires. fix: a second pass at a larger size.
 */
hires?: Hires, 
/**
 * Textual inversions that the prompts can use by name.
 */
embeddings?: Array<EmbeddingChoice>, };

export type AdapterChoice = { 
/**
 * File name, for display.
 */
name: string, 
/**
 * SHA-256 of the file, which identifies it.
 */
sha256: string, 
/**
 * Strength: 0 has no effect, 1 is the trained strength.
 */
strength: number, 
/**
 * Strength in the text encoders, if different.
 */
text_encoder?: number, 
/**
 * Block weights, multiplied with the strength: `IN04=0.5,MID=0` or a list of 12, 17, 20 or 26 numbers.
 */
blocks?: string, 
/**
 * The web UIs' hash of the file, if known: 12 hex digits of the SHA-256 of the data after the header.
 */
hash?: string, };

export type EmbeddingChoice = { 
/**
 * File name, for display.
 */
name: string, 
/**
 * SHA-256 of the file, which identifies it.
 */
sha256: string, };

export type Hires = { 
/**
 * Upscaling factor of width and height.
 */
scale: number, 
/**
 * Denoising strength, 0 to 1.
 */
denoise: number, 
/**
 * Sampling steps; 0 for the same number as the first pass.
 */
steps?: number, 
/**
 * Upscaler.
 */
upscaler?: Upscaler, 
/**
 * Network that enlarges the pixels: its file's name without extension.
 */
network?: string, };

export type MaskedAreaSettings = { 
/**
 * Pixels around the mask that are generated with it, for their context ("Only masked padding"): the masked area alone
 * is generated, at the recipe's size. Without, the whole image is ("Whole picture").
 */
padding?: number, 
/**
 * Standard deviation of the mask's blur in pixels.
 */
blur: number, };

export type Upscaler = "latent" | "pixels";

export type Rng = "torch" | "philox" | "torch_philox";

export type Program = "diffusers" | "a1111" | "comfyui";

export type Emphasis = "original" | "no_norm" | "ignore" | "none";

export type WebUiSettings = { 
/**
 * Eta noise seed delta (ENSD): added to the seed for the noise of the steps.
 */
noise_seed_delta?: number, 
/**
 * "Always discard next-to-last sigma".
 */
discard_penultimate?: boolean, 
/**
 * "SGM noise multiplier": initial noise times sqrt(1 + σ²) instead of σ.
 */
sgm_noise_multiplier?: boolean, 
/**
 * "Enable quantization in K samplers": whole timesteps, which Forge and reForge always have.
 */
quantize?: boolean, 
/**
 * "Sigma churn" of Euler, Heun and DPM2: noise that is added before a step, from `s_tmin` to `s_tmax`.
 */
s_churn?: number, 
/**
 * "Sigma tmin".
 */
s_tmin?: number, 
/**
 * "Sigma tmax"; 0 for no limit.
 */
s_tmax?: number, 
/**
 * "Sigma noise": factor of the noise that the samplers of DPM and DPM++ and the churn add.
 */
s_noise?: number, 
/**
 * "Schedule min sigma".
 */
sigma_min?: number, 
/**
 * "Schedule max sigma".
 */
sigma_max?: number, 
/**
 * "Schedule rho": exponent of Karras and Polyexponential.
 */
rho?: number, 
/**
 * "Beta schedule alpha".
 */
beta_alpha?: number, 
/**
 * "Beta schedule beta".
 */
beta_beta?: number, 
/**
 * "Extra noise", added to the latents of an init image, in multiples of its noise.
 */
extra_noise?: number, 
/**
 * "NGMS" (negative guidance minimum sigma): below it, every second call is without the negative prompt.
 */
min_sigma_of_guidance?: number, 
/**
 * "Skip Early CFG": share of the calls, from the first, that are without the negative prompt.
 */
skip_early_guidance?: number, };

export type Variation = { 
/**
 * Variation seed, a string above 2^53 - 1.
 */
seed: number | string, 
/**
 * Variation strength, 0 to 1: share of the variation seed's noise.
 */
strength: number, };

export type SigmaSpacing = "timesteps" | "karras" | "exponential" | "sgm_uniform" | "simple" | "beta" | "ays" | "polyexponential" | "kl_optimal" | "ddim_uniform" | "linear_quadratic" | "turbo" | "ays11" | "ays32" | "ays_gits";

export type RecipeDraft = { 
/**
 * The program that wrote it, if it can be told.
 */
origin: "AUTOMATIC1111" | "Forge" | "reForge" | "SD.Next" | "ComfyUI" | "SwarmUI" | "Fooocus" | "InvokeAI" | "NovelAI" | "Draw Things" | "stable-diffusion.cpp" | "Civitai" | "LoRA Loupe" | null, 
/**
 * The program whose rules apply to it.
 */
program: Program, 
/**
 * The prompt without `<lora:…>`.
 */
prompt: string, 
/**
 * The negative prompt.
 */
negative: string, 
/**
 * LoRAs.
 */
adapters: Array<Mention>, 
/**
 * Textual inversions.
 */
embeddings: Array<EmbeddingMention>, 
/**
 * Sampling steps.
 */
steps: number | null, 
/**
 * Sampler, by its name in recipes: `euler_a`.
 */
sampler: string | null, 
/**
 * Schedule type: spacing of the noise levels.
 */
schedule: SigmaSpacing | null, 
/**
 * CFG scale.
 */
guidance: number | null, 
/**
 * Seed of the initial noise; a string above 2^53 - 1.
 */
seed: number | string | null, 
/**
 * Width and height in pixels.
 */
size: [number, number] | null, 
/**
 * Name of the base model, without file extension.
 */
model: string | null, 
/**
 * First 10 hex digits of the SHA-256 of the model's file.
 */
model_hash: string | null, 
/**
 * Denoising strength, 0 to 1.
 */
denoise: number | null, 
/**
 * Inpainting of the masked area alone.
 */
masked_area: MaskedAreaSettings | null, 
/**
 * Noise added per step.
 */
eta: number | null, 
/**
 * Hires. fix settings.
 */
hires: Hires | null, 
/**
 * Clip skip: the text encoder layer to use, counted from the end; 1, the default, is the last.
 */
clip_skip: number | null, 
/**
 * Random number generator of the noise.
 */
rng: Rng | null, 
/**
 * Settings of AUTOMATIC1111's web UI that are not at their defaults.
 */
web_ui: WebUiSettings | null, 
/**
 * Variation of the seed's noise.
 */
variation: Variation | null, 
/**
 * Width and height in pixels that the seed's noise is resized from.
 */
seed_resize: [number, number] | null, 
/**
 * Emphasis mode.
 */
emphasis: Emphasis | null, 
/**
 * Whether the shorter of prompt and negative prompt is filled up with empty chunks.
 */
pad_conds: boolean, 
/**
 * Whether the last timestep of the noise schedule is pure noise.
 */
zero_snr: boolean | null, 
/**
 * Program and version that wrote the text.
 */
version: string | null, 
/**
 * Everything that was not understood.
 */
leftovers: Array<Leftover>, };

export type Mention = { 
/**
 * File name without extension.
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
 * Block weights, as sd-webui-lora-block-weight writes them.
 */
blocks: string | null, 
/**
 * First hex digits of the SHA-256 of the file without its header (12, the web UI) or of the whole file
 * (10, Civitai).
 */
hash: string | null, 
/**
 * Number of the file's version on civitai.com.
 */
civitai_version: number | null, };

export type EmbeddingMention = { 
/**
 * File name without extension.
 */
name: string, 
/**
 * First hex digits of the SHA-256 of the file.
 */
hash: string | null, };

export type Leftover = { 
/**
 * Name of the setting, or the number and class of a ComfyUI node.
 */
name: string, 
/**
 * Its value, verbatim.
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
 * Display name.
 */
name: string, 
/**
 * Id of its model family: `sd15`.
 */
family: string, 
/**
 * Display name of the model family.
 */
label: string, 
/**
 * Number of parameters of all networks.
 */
parameters: number, 
/**
 * Native width in pixels.
 */
width: number, 
/**
 * Native height in pixels.
 */
height: number, 
/**
 * Width and height must be multiples of this.
 */
multiple: number, 
/**
 * Names of the supported samplers.
 */
samplers: Array<string>, 
/**
 * Samplers that only the web UIs have.
 */
web_ui_samplers: Array<string>, 
/**
 * Schedule types.
 */
schedules: Array<ScheduleInfo>, 
/**
 * Samplers that support a schedule type.
 */
spaced: Array<string>, 
/**
 * Samplers that add noise in each step (eta).
 */
fresh: Array<string>, 
/**
 * How its weights are stored.
 */
storage: WeightStorage, 
/**
 * Workers that share a call with guidance: 2 on a processor with room for both.
 */
workers: number, 
/**
 * Hash by which the denoiser's files are recognized.
 */
fingerprint: string, };

export type ScheduleInfo = { 
/**
 * Name in recipes.
 */
name: SigmaSpacing, 
/**
 * Label in the web UIs.
 */
label: string, 
/**
 * Whether only the web UIs have it.
 */
is_web_ui_only: boolean, };

export type WeightStorage = { 
/**
 * How they are stored.
 */
weights: WeightChoice, 
/**
 * Memory of each choice, in the order of preference.
 */
needs: Array<StorageNeed>, };

export type StorageNeed = { 
/**
 * Storage of the weights.
 */
weights: WeightChoice, 
/**
 * Bytes of one image of the model's native size with guidance. With `auto`, LoRAs for all layers of the denoiser are
 * included, whose original weights are kept; the others keep none.
 */
bytes: number, };

export type WeightChoice = "auto" | "f16" | "q8" | "q4" | "streamed";

export type Stage = "tune" | "load" | "text" | "adapters" | "denoise" | "decode" | "upscale";

export type PreviewInfo = { 
/**
 * Width in pixels.
 */
width: number, 
/**
 * Height in pixels.
 */
height: number, };

export type PreviewImage = PreviewInfo & { rgba: Uint8ClampedArray<ArrayBuffer> };

export type PageProgress = ProgressInfo & { preview?: PreviewImage };

export type ProgressInfo = { 
/**
 * Current stage.
 */
stage: Stage, 
/**
 * Completed steps of the stage.
 */
step: number, 
/**
 * Steps of the stage.
 */
steps: number, 
/**
 * Estimated seconds until the stage is done, if known.
 */
seconds_left: number | null, };

export type Applied = { 
/**
 * File name.
 */
name: string, 
/**
 * Number of layers changed.
 */
matched: number, 
/**
 * Number of keys that match nothing in this model.
 */
leftovers: number, };

export type GeneratedInfo = { 
/**
 * Width in pixels.
 */
width: number, 
/**
 * Height in pixels.
 */
height: number, 
/**
 * Generation time in seconds.
 */
seconds: number, 
/**
 * Applied layers and unused keys per adapter.
 */
applied: Array<Applied>, };

export type GeneratedImage = GeneratedInfo & { rgba: Uint8ClampedArray<ArrayBuffer>; png: Uint8Array<ArrayBuffer> };

export type ImageInfo = { 
/**
 * Recipe of this program.
 */
recipe: Recipe | null, 
/**
 * Draft of a recipe, from another program's data or from this one's infotext.
 */
draft: RecipeDraft | null, 
/**
 * Texts of no known program.
 */
unknown: Array<UnknownText>, 
/**
 * What could not be read: one sentence each.
 */
problems: Array<string>, };

export type UnknownText = { 
/**
 * Keyword of the PNG chunk, or name of the EXIF or XMP field.
 */
name: string, 
/**
 * Its first words.
 */
start: string, };

export type RankedWords = { 
/**
 * The first words.
 */
words: Array<RankedWord>, 
/**
 * Number of words that were compared; 0 if the LoRA changes neither text encoders nor keys and values.
 */
compared: number, };

export type RankedWord = { 
/**
 * The word, or words.
 */
word: string, 
/**
 * How strongly the LoRA answers, as a multiple of the median over the vocabulary.
 */
score: number, 
/**
 * The part of the UNet's keys and values, as such a multiple; none if the LoRA does not change them.
 */
unet: number | null, 
/**
 * The part of the text encoders, as such a multiple; none if the LoRA does not change them.
 */
text: number | null, 
/**
 * Whether the header has it too.
 */
in_header: boolean, 
/**
 * Number of tokens.
 */
tokens: number, };

export type Row = { 
/**
 * Group of rows: `roof`, `kernels`, `networks`, `images`, `strength`.
 */
group: string, 
/**
 * What was timed, with its sizes.
 */
name: string, 
/**
 * Time per run.
 */
ours_ms: Spread, 
/**
 * GFLOP/s at the median; for a copy, GB/s.
 */
gflops: number | null, 
/**
 * Fraction of the GPU's peak arithmetic throughput.
 */
share_of_roof: number | null, };

export type Spread = { 
/**
 * Minimum.
 */
min: number, 
/**
 * Median, used in comparisons.
 */
median: number, 
/**
 * Maximum.
 */
max: number, };

export type EngineError = { 
/**
 * Machine-readable kind: `cancelled`, `busy`, `no_webgpu`, `gpu`, `adapter`, `recipe`, `model`, `file`.
 */
kind: string, 
/**
 * Message: what happened, why, and what to do.
 */
message: string, 
/**
 * The message as a sentence, if it is one.
 */
sentence?: Sentence, };
