//! Turns what crosses to the page into types with a TypeScript form.

use crate::analysis::{
    Base, Bucket, Claim, ClaimVerdict, Comparison, Container, Coverage, Dataset, FileKind, Hashes, Health, ImportRow,
    ImportVerdict, LayerComparison, LeftoverRow, LoaderStatus, LoaderVerdict, LogExplanation, Measures,
    MetadataDifference, ModuleRow, Problem, Relation, Report, Setting, Severity, SideOfLayer, Spectrum, Strength,
    Summary, TagCount, Training, TriggerWord,
};
use crate::bench::{Row, Spread};
use crate::edit::{
    AlphaPlace, BakeEdit, BakePreview, BakedScale, ConvertOptions, ConvertPreview, DroppedKey, Edit, EditProgress,
    Edited, ExportPreview, ExtractOptions, ExtractPreview, Fix, KeptRow, MergeEdit, MergeOptions, MergePart,
    MergePreview, MetadataChange, MetadataEdit, MetadataPreview, Outcome, Preview, RankRule, Rebuilt, Renamed,
    ResizeOptions, ResizePreview, Strengths, Target, Thinned,
};
use crate::gpu::GpuInfo;
use crate::pipeline::{
    AdapterChoice, Applied, EmbeddingChoice, Hires, Infotext, Leftover, Mention, Model, Recipe, Rng, Stage, Upscaler,
};
use crate::samplers::SamplerKind;
use crate::text::Syntax;
use serde::Serialize;
use ts_rs::{Config, TS};

/// A base model that is ready to draw.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ModelInfo {
    /// What people call it.
    pub name: String,
    /// Short name of its family: `sd15`.
    pub family: String,
    /// The family's name for people.
    pub label: String,
    /// Numbers in all networks.
    #[ts(type = "number")]
    pub parameters: u64,
    /// Pixels that it was made for.
    pub width: usize,
    /// Pixels that it was made for.
    pub height: usize,
    /// Width and height must be multiples of this.
    pub multiple: usize,
    /// Names of the samplers that it can be drawn with.
    pub samplers: Vec<String>,
    /// Those of them that have a spacing of noise levels.
    pub spaced: Vec<String>,
    /// Those of them that have fresh noise in each step.
    pub fresh: Vec<String>,
}

impl ModelInfo {
    /// What there is to say about a model.
    pub fn of(model: &Model) -> ModelInfo {
        let names = |fits: fn(SamplerKind) -> bool| {
            SamplerKind::ALL.into_iter().filter(|kind| fits(*kind)).map(|kind| kind.name().into()).collect()
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
            spaced: names(SamplerKind::has_sigma_spacing),
            fresh: names(SamplerKind::has_eta),
        }
    }
}

/// A report's strengths beside its base model's weights.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Weighing {
    /// What the report then says.
    pub measures: Measures,
    /// What makes the file as strong as is usual, where it is stronger.
    pub usual_strength: Option<Fix>,
}

/// How far a picture is.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ProgressInfo {
    /// What is being done.
    pub stage: Stage,
    /// Parts of the stage that are done.
    pub step: usize,
    /// Parts of the stage.
    pub steps: usize,
    /// Seconds until the stage is over, where it can be told.
    pub seconds_left: Option<f64>,
}

/// A small picture of what the latents may become; its pixels come beside it.
#[derive(Debug, Clone, Serialize, TS)]
pub struct PreviewInfo {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
}

/// What a picture comes with, besides its pixels.
#[derive(Debug, Clone, Serialize, TS)]
pub struct PictureInfo {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Time that it took.
    pub seconds: f64,
    /// What each adapter did.
    pub applied: Vec<Applied>,
}

/// What a PNG says of how it was made.
#[derive(Debug, Clone, Serialize, TS)]
pub struct PngInfo {
    /// This program's recipe.
    pub recipe: Option<Recipe>,
    /// What the web UIs write.
    pub infotext: Option<Infotext>,
}

/// How far the reading of a file is.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ReadProgress {
    /// 0 to 1, of the layers, or of the hashes.
    pub done: f64,
    /// Whether the hashes are being made.
    pub hashing: bool,
    /// Layers that were read since the last message.
    pub rows: Vec<ModuleRow>,
}

/// A file that was read, and what mends it.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Inspected {
    /// What it is.
    pub report: Report,
    /// Edits that mend what is wrong, the most useful first.
    pub fixes: Vec<Fix>,
}

/// A layer's singular values at strength 1, largest first, and what they say.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LayerSpectrum {
    /// At strength 1.
    pub values: Vec<f64>,
    /// Frobenius norm.
    pub frobenius: f64,
    /// The largest singular value.
    pub spectral: f64,
    /// ‖·‖²_F over the square of the largest.
    pub stable_rank: f64,
    /// exp of the entropy of the values' shares of their sum.
    pub effective_rank: f64,
    /// Share of the energy that each rank keeps, from 1 on.
    pub energy: Vec<f64>,
}

impl LayerSpectrum {
    /// What a spectrum says.
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

/// Two files, compared.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ComparedFiles {
    /// What they are to each other.
    pub sentence: String,
    /// Layer by layer, and metadata.
    pub comparison: Comparison,
}

/// Why a call failed: what happened, why, and what to do.
#[derive(Debug, Clone, Serialize, TS)]
pub struct EngineError {
    /// For programs: `cancelled`, `busy`, `no_webgpu`, `gpu`, `adapter`, `recipe`, `model`, `file`.
    pub kind: String,
    /// For people.
    pub message: String,
}

/// The text of web/engine/types.d.ts.
pub fn typescript() -> String {
    let config = Config::new().with_large_int("number");
    let mut text = String::from(
        "/** What crosses between the page and the engine; generated from the Rust types by tests/types.rs. */\n",
    );
    let mut add = |declaration: String| text.push_str(&format!("\nexport {declaration}\n"));
    add(Report::decl(&config));
    add(Container::decl(&config));
    add(FileKind::decl(&config));
    add(Base::decl(&config));
    add(ModuleRow::decl(&config));
    add(Strength::decl(&config));
    add(Health::decl(&config));
    add(Measures::decl(&config));
    add(Weighing::decl(&config));
    add(Hashes::decl(&config));
    add(Claim::decl(&config));
    add(ClaimVerdict::decl(&config));
    add(LeftoverRow::decl(&config));
    add(Coverage::decl(&config));
    add(LoaderVerdict::decl(&config));
    add(LoaderStatus::decl(&config));
    add(LogExplanation::decl(&config));
    add(ImportRow::decl(&config));
    add(ImportVerdict::decl(&config));
    add(Training::decl(&config));
    add(Setting::decl(&config));
    add(TriggerWord::decl(&config));
    add(TagCount::decl(&config));
    add(Dataset::decl(&config));
    add(Bucket::decl(&config));
    add(Summary::decl(&config));
    add(ReadProgress::decl(&config));
    add(Inspected::decl(&config));
    add(LayerSpectrum::decl(&config));
    add(ComparedFiles::decl(&config));
    add(Comparison::decl(&config));
    add(Relation::decl(&config));
    add(LayerComparison::decl(&config));
    add(SideOfLayer::decl(&config));
    add(MetadataDifference::decl(&config));
    add(Problem::decl(&config));
    add(Severity::decl(&config));
    add(Edit::decl(&config));
    add(ConvertOptions::decl(&config));
    add(AlphaPlace::decl(&config));
    add(Target::decl(&config));
    add(Strengths::decl(&config));
    add(ResizeOptions::decl(&config));
    add(RankRule::decl(&config));
    add(MergeEdit::decl(&config));
    add(MergePart::decl(&config));
    add(MergeOptions::decl(&config));
    add(ExtractOptions::decl(&config));
    add(BakeEdit::decl(&config));
    add(MetadataEdit::decl(&config));
    add(Preview::decl(&config));
    add(ConvertPreview::decl(&config));
    add(Renamed::decl(&config));
    add(DroppedKey::decl(&config));
    add(BakedScale::decl(&config));
    add(Rebuilt::decl(&config));
    add(KeptRow::decl(&config));
    add(ResizePreview::decl(&config));
    add(MergePreview::decl(&config));
    add(ExtractPreview::decl(&config));
    add(BakePreview::decl(&config));
    add(MetadataPreview::decl(&config));
    add(MetadataChange::decl(&config));
    add(ExportPreview::decl(&config));
    add(Edited::decl(&config));
    add(Outcome::decl(&config));
    add(Thinned::decl(&config));
    add(EditProgress::decl(&config));
    add(Fix::decl(&config));
    add(Recipe::decl(&config));
    add(AdapterChoice::decl(&config));
    add(EmbeddingChoice::decl(&config));
    add(Hires::decl(&config));
    add(Upscaler::decl(&config));
    add(Rng::decl(&config));
    add(Syntax::decl(&config));
    add(Infotext::decl(&config));
    add(Mention::decl(&config));
    add(Leftover::decl(&config));
    add(GpuInfo::decl(&config));
    add(ModelInfo::decl(&config));
    add(Stage::decl(&config));
    add(PreviewInfo::decl(&config));
    add("type Preview = PreviewInfo & { rgba: Uint8ClampedArray<ArrayBuffer> };".into());
    add("type PageProgress = ProgressInfo & { preview?: Preview };".into());
    add(ProgressInfo::decl(&config));
    add(Applied::decl(&config));
    add(PictureInfo::decl(&config));
    add("type Picture = PictureInfo & { rgba: Uint8ClampedArray<ArrayBuffer>; png: Uint8Array<ArrayBuffer> };".into());
    add(PngInfo::decl(&config));
    add(Row::decl(&config));
    add(Spread::decl(&config));
    add(EngineError::decl(&config));
    text
}
