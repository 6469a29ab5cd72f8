//! Types of the interface to the page, with TypeScript declarations.

use crate::analysis::{
    Base, Bucket, Claim, ClaimVerdict, Comparison, Container, Coverage, Dataset, FileKind, Hashes, Health, ImportRow,
    ImportVerdict, LayerComparison, LeftoverRow, LoaderEffect, LoaderStatus, LoaderVerdict, LogExplanation, Measures,
    MetadataDifference, ModuleRow, Problem, Relation, Report, Series, SeriesFile, SeriesLayer, SeriesPart, SeriesPoint,
    SeriesRow, SeriesSummary, SeriesTotal, Setting, Severity, SideOfLayer, Signature, Spectrum, Strength, Summary,
    TagCount, Training, TriggerWord,
};
use crate::bench::{Row, Spread};
use crate::edit::{
    AlphaPlace, BakeEdit, BakePreview, BakedScale, Conflict, ConvertOptions, ConvertPreview, DroppedKey, Edit,
    EditProgress, Edited, ExportPreview, ExtractOptions, ExtractPreview, Fix, KeptRow, MergeEdit, MergeMethod,
    MergeOptions, MergePart, MergePreview, MetadataChange, MetadataEdit, MetadataPreview, Outcome, Preview, RankRule,
    Rebuilt, Renamed, ResizeOptions, ResizePreview, Strengths, Target, Thinned,
};
use crate::gpu::{GpuInfo, WeightChoice};
use crate::pipeline::{
    AdapterChoice, Applied, EmbeddingChoice, EmbeddingMention, Hires, ImageInfo, Leftover, MaskedAreaSettings, Mention,
    Model, RankedWord, RankedWords, Recipe, RecipeDraft, Rng, Stage, StorageNeed, UnknownText, Upscaler, Variation,
    WeightStorage, schedule_label,
};
use crate::program::Program;
use crate::samplers::{SamplerKind, SigmaSpacing, WebUiSettings};
use crate::sentence::{Sentence, Value};
use crate::text::Emphasis;
use serde::Serialize;
use ts_rs::{Config, TS};

/// An open base model.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ModelInfo {
    /// Display name.
    pub name: String,
    /// Id of its model family: `sd15`.
    pub family: String,
    /// Display name of the model family.
    pub label: String,
    /// Number of parameters of all networks.
    #[ts(type = "number")]
    pub parameters: u64,
    /// Native width in pixels.
    pub width: usize,
    /// Native height in pixels.
    pub height: usize,
    /// Width and height must be multiples of this.
    pub multiple: usize,
    /// Names of the supported samplers.
    pub samplers: Vec<String>,
    /// Samplers that only the web UIs have.
    pub web_ui_samplers: Vec<String>,
    /// Schedule types.
    pub schedules: Vec<ScheduleInfo>,
    /// Samplers that support a schedule type.
    pub spaced: Vec<String>,
    /// Samplers that add noise in each step (eta).
    pub fresh: Vec<String>,
    /// How its weights are stored.
    pub storage: WeightStorage,
    /// Workers that share a call with guidance: 2 on a processor with room for both.
    pub workers: u32,
    /// Hash by which the denoiser's files are recognized.
    pub fingerprint: String,
}

impl ModelInfo {
    /// Describes a model with weights that are stored like this.
    pub fn of(model: &Model, storage: WeightStorage, fingerprint: String, workers: u32) -> ModelInfo {
        let names = |predicate: fn(SamplerKind) -> bool| {
            SamplerKind::ALL.into_iter().filter(|kind| predicate(*kind)).map(|kind| kind.name().into()).collect()
        };
        ModelInfo {
            name: model.name.clone(),
            family: model.family().name().into(),
            label: model.family().label().into(),
            parameters: model.parameters(),
            width: model.native_size(),
            height: model.native_size(),
            multiple: model.size_multiple(),
            samplers: names(|_| true),
            web_ui_samplers: names(SamplerKind::is_web_ui_only),
            schedules: SigmaSpacing::ALL.map(ScheduleInfo::of).into(),
            spaced: names(SamplerKind::has_sigma_spacing),
            fresh: names(SamplerKind::has_eta),
            storage,
            workers,
            fingerprint,
        }
    }
}

/// A schedule type.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ScheduleInfo {
    /// Name in recipes.
    pub name: SigmaSpacing,
    /// Label in the web UIs.
    pub label: String,
    /// Whether only the web UIs have it.
    pub is_web_ui_only: bool,
}

impl ScheduleInfo {
    fn of(name: SigmaSpacing) -> ScheduleInfo {
        ScheduleInfo { name, label: schedule_label(name).into(), is_web_ui_only: name.is_web_ui_only() }
    }
}

/// A report's norms relative to the weights of its base model.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Weighing {
    /// Updated measures of the report.
    pub measures: Measures,
    /// Fix that scales the file to a typical strength, if it is stronger.
    pub usual_strength: Option<Fix>,
}

/// Progress of generating an image.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ProgressInfo {
    /// Current stage.
    pub stage: Stage,
    /// Completed steps of the stage.
    pub step: usize,
    /// Steps of the stage.
    pub steps: usize,
    /// Estimated seconds until the stage is done, if known.
    pub seconds_left: Option<f64>,
}

/// Size of a live preview; its pixels are passed separately.
#[derive(Debug, Clone, Serialize, TS)]
pub struct PreviewInfo {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

/// A generated image without its pixels.
#[derive(Debug, Clone, Serialize, TS)]
pub struct GeneratedInfo {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Generation time in seconds.
    pub seconds: f64,
    /// Applied layers and unused keys per adapter.
    pub applied: Vec<Applied>,
}

/// Progress of reading a file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ReadProgress {
    /// 0 to 1, of the layers or of the hashes.
    pub done: f64,
    /// Whether the hashes are being computed.
    pub hashing: bool,
    /// Layers read since the last message.
    pub rows: Vec<ModuleRow>,
}

/// Layers of a training run that were measured.
#[derive(Debug, Clone, Serialize, TS)]
pub struct SeriesProgress {
    /// The layers.
    pub layers: Vec<SeriesLayer>,
    /// 0 to 1, of the worker's part.
    pub done: f64,
}

/// An inspected file and its fixes.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Inspected {
    /// Report.
    pub report: Report,
    /// Fixes, the most useful first.
    pub fixes: Vec<Fix>,
}

/// The singular values of a layer's change and measures derived from them.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LayerSpectrum {
    /// Singular values at strength 1, largest first.
    pub values: Vec<f64>,
    /// Frobenius norm.
    pub frobenius: f64,
    /// Spectral norm: the largest singular value.
    pub spectral: f64,
    /// Squared Frobenius norm over squared spectral norm.
    pub stable_rank: f64,
    /// exp of the entropy of the singular values divided by their sum.
    pub effective_rank: f64,
    /// Share of the energy Σσ² kept at rank 1, 2, ….
    pub energy: Vec<f64>,
}

impl LayerSpectrum {
    /// Computes the measures of a spectrum.
    pub fn of(spectrum: &Spectrum) -> LayerSpectrum {
        LayerSpectrum {
            frobenius: spectrum.frobenius(),
            spectral: spectrum.spectral(),
            stable_rank: spectrum.stable_rank(),
            effective_rank: spectrum.effective_rank(),
            energy: (1..=spectrum.values.len()).map(|rank| spectrum.energy_kept(rank)).collect(),
            values: spectrum.values.clone(),
        }
    }
}

/// A comparison of two files.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ComparedFiles {
    /// Relation of the files.
    pub sentence: Sentence,
    /// Comparison by layer and of the metadata.
    pub comparison: Comparison,
}

/// Error of a call.
#[derive(Debug, Clone, Serialize, TS)]
pub struct EngineError {
    /// Machine-readable kind: `cancelled`, `busy`, `no_webgpu`, `gpu`, `adapter`, `recipe`, `model`, `file`.
    pub kind: String,
    /// Message: what happened, why, and what to do.
    pub message: String,
    /// The message as a sentence, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub sentence: Option<Sentence>,
}

/// Function that returns the TypeScript declaration of a type.
type Declaration = fn(&Config) -> String;

/// Types of the report on a file and of comparisons.
const REPORT: &[Declaration] = &[
    Sentence::decl,
    Value::decl,
    Report::decl,
    Container::decl,
    FileKind::decl,
    Base::decl,
    ModuleRow::decl,
    Strength::decl,
    Health::decl,
    Measures::decl,
    Weighing::decl,
    Hashes::decl,
    Claim::decl,
    ClaimVerdict::decl,
    LeftoverRow::decl,
    Coverage::decl,
    LoaderVerdict::decl,
    LoaderEffect::decl,
    LoaderStatus::decl,
    LogExplanation::decl,
    ImportRow::decl,
    ImportVerdict::decl,
    Training::decl,
    Setting::decl,
    TriggerWord::decl,
    TagCount::decl,
    Dataset::decl,
    Bucket::decl,
    Summary::decl,
    ReadProgress::decl,
    Inspected::decl,
    LayerSpectrum::decl,
    ComparedFiles::decl,
    Comparison::decl,
    Relation::decl,
    LayerComparison::decl,
    SideOfLayer::decl,
    Signature::decl,
    MetadataDifference::decl,
    Problem::decl,
    Severity::decl,
    Series::decl,
    SeriesFile::decl,
    SeriesProgress::decl,
    SeriesLayer::decl,
    SeriesPart::decl,
    SeriesPoint::decl,
    SeriesSummary::decl,
    SeriesTotal::decl,
    SeriesRow::decl,
];

/// Types of edits and their previews.
const EDITS: &[Declaration] = &[
    Edit::decl,
    ConvertOptions::decl,
    AlphaPlace::decl,
    Target::decl,
    Strengths::decl,
    ResizeOptions::decl,
    RankRule::decl,
    MergeEdit::decl,
    MergePart::decl,
    MergeOptions::decl,
    MergeMethod::decl,
    ExtractOptions::decl,
    BakeEdit::decl,
    MetadataEdit::decl,
    Preview::decl,
    ConvertPreview::decl,
    Renamed::decl,
    DroppedKey::decl,
    BakedScale::decl,
    Rebuilt::decl,
    KeptRow::decl,
    ResizePreview::decl,
    MergePreview::decl,
    Conflict::decl,
    ExtractPreview::decl,
    BakePreview::decl,
    MetadataPreview::decl,
    MetadataChange::decl,
    ExportPreview::decl,
    Edited::decl,
    Outcome::decl,
    Thinned::decl,
    EditProgress::decl,
    Fix::decl,
];

/// Types of recipes and their generation data.
const RECIPES: &[Declaration] = &[
    Recipe::decl,
    AdapterChoice::decl,
    EmbeddingChoice::decl,
    Hires::decl,
    MaskedAreaSettings::decl,
    Upscaler::decl,
    Rng::decl,
    Program::decl,
    Emphasis::decl,
    WebUiSettings::decl,
    Variation::decl,
    SigmaSpacing::decl,
    RecipeDraft::decl,
    Mention::decl,
    EmbeddingMention::decl,
    Leftover::decl,
];

/// Types of the model, the device and the images it generates.
const GENERATION: &[Declaration] = &[
    GpuInfo::decl,
    ModelInfo::decl,
    ScheduleInfo::decl,
    WeightStorage::decl,
    StorageNeed::decl,
    WeightChoice::decl,
    Stage::decl,
    PreviewInfo::decl,
    |_| "type PreviewImage = PreviewInfo & { rgba: Uint8ClampedArray<ArrayBuffer> };".into(),
    |_| "type PageProgress = ProgressInfo & { preview?: PreviewImage };".into(),
    ProgressInfo::decl,
    Applied::decl,
    GeneratedInfo::decl,
    |_| {
        "type GeneratedImage = GeneratedInfo & { rgba: Uint8ClampedArray<ArrayBuffer>; png: Uint8Array<ArrayBuffer> };"
            .into()
    },
    ImageInfo::decl,
    UnknownText::decl,
    RankedWords::decl,
    RankedWord::decl,
    Row::decl,
    Spread::decl,
    EngineError::decl,
];

/// Returns the text of web/engine/types.d.ts.
pub fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = String::from(
        "/** Types of the interface between the page and the engine; generated from the Rust types by tests/types.rs. */\n",
    );
    for declaration in [REPORT, EDITS, RECIPES, GENERATION].into_iter().flatten() {
        text.push_str(&format!("\nexport {}\n", declaration(&config)));
    }
    text
}
