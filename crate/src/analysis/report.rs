//! The report on a file, as shown by the page and printed by the command line.

use super::hashes::Hashes;
use super::health::Health;
use super::loaders::{AppliedLayers, LoaderVerdict};
use super::modules::{Coverage, ModuleRow};
use super::problem_class::ProblemClass;
use super::sketch::Signature;
use super::training::Training;
use super::weigh::{LayerImpact, Measures};
use crate::formats::{Danger, Import};
use crate::model::FamilyId;
use crate::sentence::{Sentence, Value, sentence};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use ts_rs::TS;

/// [`Report::version`].
const VERSION: u32 = 2;

/// A file's kind, base model, changes and problems.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Report {
    /// Version of this structure and of the sentences' ids: 2.
    pub version: u32,
    /// File name, without folders.
    pub file: String,
    /// File size in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Only the header was read: norms, scales, alphas, hashes and invalid values are unknown.
    pub headers_only: bool,
    /// SHA-256 of the whole file, in lower-case hexadecimal; empty if only the header was read.
    pub sha256: String,
    /// SHA-256 of the file size and the header's content: equal for copies of one file.
    pub header_sha256: String,
    /// File format.
    pub container: Container,
    /// Kind of file.
    pub kind: FileKind,
    /// One sentence: kind, base model and strength, or why the file cannot be used and what to do.
    pub verdict: Sentence,
    /// Key format; empty if none is known.
    pub convention: String,
    /// Algorithms of the changes.
    pub algorithms: Vec<String>,
    /// The base model it was made for.
    pub base: Base,
    /// Every changed layer, in file order.
    pub modules: Vec<ModuleRow>,
    /// Unused keys.
    pub leftovers: Vec<LeftoverRow>,
    /// Changed layers per block, in network order.
    pub coverage: Vec<Coverage>,
    /// Compatibility with each adapter loader.
    pub loaders: Vec<LoaderVerdict>,
    /// The layers that each loader applies, with which edits are compared.
    #[serde(skip)]
    #[ts(skip)]
    pub applied: AppliedLayers,
    /// Every global that its pickles import.
    pub imports: Vec<ImportRow>,
    /// Strength and rank statistics; null if no layer's singular values were computed.
    pub health: Option<Health>,
    /// Numbers by whose cosine copies, and merges, of the adapter are found; null if some layers were not read, or no change is
    /// known without the base model.
    pub signature: Option<Signature>,
    /// Hashes that programs and sites identify the file by; null if only the header was read.
    pub hashes: Option<Hashes>,
    /// Training information from the header; null if there is none.
    pub training: Option<Training>,
    /// The header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
    /// Problems of the file.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Returns an empty report.
    pub(super) fn empty(file: &str, size: u64) -> Report {
        Report {
            version: VERSION,
            file: file.into(),
            size,
            headers_only: false,
            sha256: String::new(),
            header_sha256: String::new(),
            container: Container::Unknown,
            kind: FileKind::Unknown,
            verdict: Sentence::default(),
            convention: String::new(),
            algorithms: Vec::new(),
            base: Base::unknown(),
            modules: Vec::new(),
            leftovers: Vec::new(),
            coverage: Vec::new(),
            loaders: Vec::new(),
            applied: AppliedLayers::default(),
            imports: Vec::new(),
            health: None,
            signature: None,
            hashes: None,
            training: None,
            metadata: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    /// Returns the report on a file that cannot be opened.
    pub fn unreadable(file: &str, reason: &str) -> Report {
        let verdict = sentence!("file.unreadable", reason = reason);
        let problems = vec![Problem::refuse(ProblemClass::Unreadable, verdict.clone())];
        Report { verdict, problems, ..Report::empty(file, 0) }
    }

    /// Updates norms and strengths with measurements against the base model; see `weigh`.
    pub fn weigh(&mut self, layers: &[LayerImpact]) {
        let (modules, coverage) = (std::mem::take(&mut self.modules), std::mem::take(&mut self.coverage));
        let mut measures = Measures { modules, coverage, health: self.health.take() };
        measures.weigh(layers);
        Measures { modules: self.modules, coverage: self.coverage, health: self.health } = measures;
    }

    /// Returns whether the file cannot be used.
    pub fn is_refused(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Refuse)
    }
}

/// File format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Container {
    /// Hugging Face's safetensors.
    Safetensors,
    /// A zip archive from `torch.save`, PyTorch 1.6 or later.
    PickleZip,
    /// A bare pickle from `torch.save`, before PyTorch 1.6.
    PickleLegacy,
    /// llama.cpp's GGUF.
    Gguf,
    /// Another zip archive.
    Zip,
    /// Anything else.
    Unknown,
}

/// Kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum FileKind {
    /// A LoRA or another adapter of a base model.
    Adapter,
    /// A full checkpoint.
    Checkpoint,
    /// A textual inversion embedding.
    TextualInversion,
    /// A variational autoencoder.
    Vae,
    /// A hypernetwork: small networks on the inputs of attention layers.
    Hypernetwork,
    /// A network conditioned on a control image: ControlNet, Control-LoRA, LLLite, T2I-Adapter.
    ControlNet,
    /// An IP-Adapter: image prompts.
    IpAdapter,
    /// An AnimateDiff motion module.
    MotionModule,
    /// A text encoder.
    TextEncoder,
    /// An image encoder (CLIP vision).
    VisionModel,
    /// An image upscaler.
    Upscaler,
    /// A web page.
    Html,
    /// JSON text.
    Json,
    /// A Git LFS pointer.
    GitLfs,
    /// A GGUF model.
    Gguf,
    /// An image.
    Image,
    /// A PyTorch pickle.
    Pickle,
    /// An empty file.
    Empty,
    /// None of these.
    Unknown,
}

/// The base model family of a file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Base {
    /// `sd15`, `sd21`, `sdxl`, `flux1`, … or `unknown`.
    pub family: String,
    /// Display name.
    pub label: String,
    /// Evidence for the family.
    pub evidence: Vec<Sentence>,
    /// Other models of the family that explain the file as well, if nothing in it decides.
    pub variants: Vec<String>,
    /// Other families that explain the file as well, if nothing in it decides.
    pub others: Vec<Base>,
}

/// [`Base::family`] of a file for an unknown model.
const UNKNOWN: &str = "unknown";

impl Base {
    /// Returns the base of a file for an unknown model.
    pub(super) fn unknown() -> Base {
        Base {
            family: UNKNOWN.into(),
            label: sentence!("family.an_unknown_model").text,
            evidence: Vec::new(),
            variants: Vec::new(),
            others: Vec::new(),
        }
    }

    /// Returns whether the family was detected.
    pub fn is_known(&self) -> bool {
        self.family != UNKNOWN
    }

    /// Returns the display name, as a value of sentences.
    pub fn name(&self) -> Value {
        Value::label("family", &self.label)
    }

    /// Returns the display names of all models that it may be for.
    fn all_labels(&self) -> impl Iterator<Item = &str> {
        let own = std::iter::once(&self.label).chain(&self.variants);
        own.chain(self.others.iter().map(|base| &base.label)).map(String::as_str)
    }

    /// Returns them joined by " / ".
    pub(super) fn labels(&self) -> String {
        self.all_labels().collect::<Vec<_>>().join(" / ")
    }

    /// Returns them as a value of sentences.
    pub fn names(&self) -> Value {
        let mut names = self.all_labels().map(|label| Value::label("family", label));
        let first = names.next().unwrap_or_else(|| self.name());
        names.fold(first, |names, other| sentence!("verdict.or", base = names, other = other).into())
    }

    /// Returns the family, if this program can run it.
    pub fn id(&self) -> Option<FamilyId> {
        FamilyId::ALL.into_iter().find(|id| id.name() == self.family)
    }
}

/// An unused key.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LeftoverRow {
    /// The key.
    pub key: String,
    /// Reason, as a phrase.
    pub reason: Sentence,
}

/// A global that a pickle imports when it is loaded by `torch.load`; nothing is imported here.
#[derive(Debug, Clone, Serialize, TS)]
pub struct ImportRow {
    /// `torch._utils._rebuild_tensor_v2`, `os.system`, …, or a phrase for a name that the pickle computes.
    #[ts(type = "Sentence | string")]
    pub name: Value,
    /// The pickle within the file: its path in an archive, or a phrase with its number.
    #[ts(type = "Sentence | string")]
    pub place: Value,
    /// Whether the import is dangerous.
    pub verdict: ImportVerdict,
}

/// Whether importing a global is dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum ImportVerdict {
    /// Only describes tensors.
    Harmless,
    /// Unneeded in an adapter, and not known to be dangerous.
    Unknown,
    /// Can run programs, open files or access the network.
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

/// A problem of a file.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Problem {
    /// Problem class: `truncated`, `shape_mismatch`, …
    #[ts(type = "string")]
    pub class: ProblemClass,
    /// Whether the file can still be used.
    pub severity: Severity,
    /// Description, with what to do about it.
    pub message: Sentence,
    /// The affected layers; empty if the whole file is affected.
    pub modules: Vec<String>,
}

/// Severity of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum Severity {
    /// The file cannot be used.
    Refuse,
    /// The file can be used.
    Warn,
}

impl Problem {
    /// Creates a problem of the whole file that prevents its use.
    pub fn refuse(class: ProblemClass, message: Sentence) -> Problem {
        Problem { class, severity: Severity::Refuse, message, modules: Vec::new() }
    }

    /// Creates the warning that the norms could not be compared with the base model's.
    pub fn not_compared(reason: &str) -> Problem {
        Problem::warn(ProblemClass::NotWeighed, sentence!("finding.not_compared", reason = reason))
    }

    /// Creates a warning about the whole file.
    pub fn warn(class: ProblemClass, message: Sentence) -> Problem {
        Problem { severity: Severity::Warn, ..Problem::refuse(class, message) }
    }

    /// Restricts the problem to these layers.
    pub fn of(self, modules: Vec<String>) -> Problem {
        Problem { modules, ..self }
    }
}
