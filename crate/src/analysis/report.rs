//! Turns findings into a report: the one value that the page shows and the command line prints.

use super::hashes::Hashes;
use super::health::Health;
use super::loaders::LoaderVerdict;
use super::spectrum::Spectrum;
use super::training::Training;
use super::weigh::{Measures, LayerImpact};
use crate::formats::{Danger, Import};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// What a file is, what it changes and what is wrong with it.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Report {
    /// Its name, without folders.
    pub file: String,
    /// Its length in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Only the header was read: norms, scales, alphas, hashes and faults of numbers are not known.
    pub headers_only: bool,
    /// SHA-256 of the whole file, in lower-case hexadecimal; empty where only the header was read.
    pub sha256: String,
    /// SHA-256 of its length and all that its header says: equal for copies of one file.
    pub header_sha256: String,
    /// How its bytes are organised.
    pub container: Container,
    /// What it is.
    pub kind: FileKind,
    /// One plain sentence: what it is, for what, how strong; or why it is refused and what to do.
    pub verdict: String,
    /// The spelling of its keys; empty where it has none.
    pub convention: String,
    /// The families of algorithms inside.
    pub algorithms: Vec<String>,
    /// The family of models that it was made for.
    pub base: Base,
    /// Every layer that it changes, in the file's order.
    pub modules: Vec<ModuleRow>,
    /// Every key that changes nothing.
    pub leftovers: Vec<LeftoverRow>,
    /// How much of each block it changes, in network order.
    pub coverage: Vec<Coverage>,
    /// What each program that loads adapters does with it.
    pub loaders: Vec<LoaderVerdict>,
    /// Every name that its pickles would import.
    pub imports: Vec<ImportRow>,
    /// How strong the changes are and how much of their ranks they use; null where no layer's
    /// singular values were computed.
    pub health: Option<Health>,
    /// What programs and sites know the file by; null where only the header was read.
    pub hashes: Option<Hashes>,
    /// What the header says of the training; null where it says nothing.
    pub training: Option<Training>,
    /// The header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl Report {
    /// The report on a file of which nothing is known yet.
    pub(super) fn empty(file: &str, size: u64) -> Report {
        Report {
            file: file.into(),
            size,
            headers_only: false,
            sha256: String::new(),
            header_sha256: String::new(),
            container: Container::Unknown,
            kind: FileKind::Unknown,
            verdict: String::new(),
            convention: String::new(),
            algorithms: Vec::new(),
            base: Base { family: "unknown".into(), label: "an unknown model".into(), evidence: Vec::new() },
            modules: Vec::new(),
            leftovers: Vec::new(),
            coverage: Vec::new(),
            loaders: Vec::new(),
            imports: Vec::new(),
            health: None,
            hashes: None,
            training: None,
            metadata: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// The report on a file that cannot be opened.
    pub fn unreadable(file: &str, reason: &str) -> Report {
        let verdict = format!("The file cannot be opened: {reason}.");
        let problems = vec![Problem::refuse("unreadable", verdict.clone())];
        Report { verdict, problems, ..Report::empty(file, 0) }
    }

    /// Takes in what the base model says of the layers; see [`super::weigh`].
    pub fn weigh(&mut self, layers: &[LayerImpact]) {
        let (modules, coverage) = (std::mem::take(&mut self.modules), std::mem::take(&mut self.coverage));
        let mut measures = Measures { modules, coverage, health: self.health.take() };
        measures.weigh(layers);
        Measures { modules: self.modules, coverage: self.coverage, health: self.health } = measures;
    }

    /// Whether the file must not be applied.
    pub fn refused(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Refuse)
    }
}

/// How a file's bytes are organised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Container {
    /// huggingface's format.
    Safetensors,
    /// `torch.save` since PyTorch 1.6.
    PickleZip,
    /// `torch.save` before.
    PickleLegacy,
    /// llama.cpp's format.
    Gguf,
    /// A zip archive of files.
    Zip,
    /// Anything else.
    Unknown,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum FileKind {
    /// It changes a base model.
    Adapter,
    /// A whole model or network.
    Checkpoint,
    /// Word embeddings.
    TextualInversion,
    /// A network that turns latents into pixels.
    Vae,
    /// Networks beside the attention.
    Hypernetwork,
    /// Something that follows a control picture: ControlNet, Control-LoRA, LLLite, T2I-Adapter.
    ControlNet,
    /// Something that lets a picture guide.
    IpAdapter,
    /// AnimateDiff's layers.
    MotionModule,
    /// A network that reads prompts.
    TextEncoder,
    /// A network that reads pictures.
    VisionModel,
    /// A network that enlarges pictures.
    Upscaler,
    /// A web page.
    Html,
    /// A JSON text.
    Json,
    /// A stand-in for a file that git-lfs did not fetch.
    GitLfs,
    /// A GGUF model.
    Gguf,
    /// A picture.
    Image,
    /// A PyTorch pickle.
    Pickle,
    /// No bytes.
    Empty,
    /// None of these.
    Unknown,
}

/// The family of models that a file was made for.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Base {
    /// `sd15`, `sd21`, `sdxl`, `flux1`, … or `unknown`.
    pub family: String,
    /// Its name for people.
    pub label: String,
    /// What in the file says so, in sentences.
    pub evidence: Vec<String>,
}

/// A layer that the file changes.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct ModuleRow {
    /// diffusers' path with the network before it: `unet.down_blocks.0…`.
    pub path: String,
    /// The family of algorithms.
    pub algorithm: String,
    /// Its rank, where the algorithm has one.
    pub rank: Option<usize>,
    /// alpha, where the file or its config gives one.
    pub alpha: Option<f32>,
    /// What the change is multiplied by at strength 1.
    pub scale: f32,
    /// How its numbers are stored.
    pub dtype: String,
    /// Frobenius norm of the change at strength 1; null where it depends on the base's weights and
    /// no base was at hand.
    pub norm: Option<f64>,
    /// Frobenius norm of the base model's weight; null where no base was at hand.
    pub base_norm: Option<f64>,
    /// Its singular values in a few numbers; null where it depends on the base's weights or has
    /// too many.
    pub strength: Option<Strength>,
    /// Shape of the change.
    pub shape: Vec<usize>,
    /// The block of [`Coverage`] that it lies in.
    pub block: String,
}

/// The singular values of a layer's change at strength 1, in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct Strength {
    /// The largest: the spectral norm.
    pub spectral: f64,
    /// ‖·‖²_F / ‖·‖²: how many directions of the strongest one's strength there are.
    pub stable_rank: f64,
    /// exp of the entropy of the values' shares.
    pub effective_rank: f64,
    /// The smallest rank that keeps 90 % of the energy Σσ².
    pub rank_90: usize,
    /// The smallest rank that keeps 98 % of it.
    pub rank_98: usize,
}

impl Strength {
    /// Of these singular values.
    pub fn of(spectrum: &Spectrum) -> Strength {
        Strength {
            spectral: spectrum.spectral(),
            stable_rank: spectrum.stable_rank(),
            effective_rank: spectrum.effective_rank(),
            rank_90: spectrum.rank_for_energy(0.9),
            rank_98: spectrum.rank_for_energy(0.98),
        }
    }
}

/// A key that changes nothing.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LeftoverRow {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// A name that a pickle would import when it is opened the usual way; nothing is imported here.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ImportRow {
    /// `torch._utils._rebuild_tensor_v2`, `os.system`, …
    pub name: String,
    /// Which of the file's pickles.
    pub place: String,
    /// What that would mean.
    pub verdict: ImportVerdict,
}

/// What importing a name would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum ImportVerdict {
    /// It describes tensors.
    Harmless,
    /// It has no place in an adapter, and is not known to be dangerous.
    Unknown,
    /// It can run programs, open files or reach the network.
    Dangerous,
}

impl From<Import> for ImportRow {
    fn from(import: Import) -> ImportRow {
        let verdict = match import.danger {
            Danger::Harmless => ImportVerdict::Harmless,
            Danger::Unknown => ImportVerdict::Unknown,
            Danger::Dangerous => ImportVerdict::Dangerous,
        };
        ImportRow { name: import.name, place: import.place, verdict }
    }
}

/// How much of a block a file changes.
#[derive(Debug, Clone, Serialize, Deserialize, TS)]
pub struct Coverage {
    /// `text_encoder`, `text_encoder_2`, `text_encoder_3`, `unet`, `transformer`, `prior` or `language_model`.
    pub component: String,
    /// `TE00`…, `BASE`, `IN00`…, `MID`, `OUT00`…, `END`; of transformers `D00`…, `S00`…, …
    pub block: String,
    /// Where that is, for people.
    pub label: String,
    /// Linear and convolution layers that change.
    pub covered: usize,
    /// Linear and convolution layers in all.
    pub total: usize,
    /// Frobenius norm of all changes together at strength 1, as far as it is known.
    pub norm: f64,
}

/// Something wrong with a file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Problem {
    /// Its short name: `truncated`, `shape_mismatch`, …
    pub class: String,
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
    /// The layers concerned, if only some are.
    pub modules: Vec<String>,
}

/// Whether a file can be used in spite of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Severity {
    /// It must not be applied.
    Refuse,
    /// It may be applied, but one should know.
    Warn,
}

impl Problem {
    /// A problem of the whole file that forbids its use.
    pub fn refuse(class: &str, message: impl Into<String>) -> Problem {
        Problem { class: class.into(), severity: Severity::Refuse, message: message.into(), modules: Vec::new() }
    }

    /// A problem of the whole file that one should know.
    pub fn warn(class: &str, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warn, ..Problem::refuse(class, message) }
    }

    /// The same problem in these layers only.
    pub fn of(self, modules: Vec<String>) -> Problem {
        Problem { modules, ..self }
    }
}
