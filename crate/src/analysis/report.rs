//! Turns findings into a report: the one value that the page shows and the command line prints.

use super::loaders::LoaderVerdict;
use serde::Serialize;
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
    /// SHA-256 of the whole file, in lower-case hexadecimal.
    pub sha256: String,
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
            sha256: String::new(),
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
    /// Anything else.
    Unknown,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum FileKind {
    /// It changes a base model.
    Adapter,
    /// A whole model or network.
    Checkpoint,
    /// Word embeddings.
    TextualInversion,
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
#[derive(Debug, Clone, Serialize, TS)]
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
    /// Frobenius norm of the change at strength 1; null where it depends on the base's weights.
    pub norm: Option<f64>,
    /// Shape of the change.
    pub shape: Vec<usize>,
    /// The block of [`Coverage`] that it lies in.
    pub block: String,
}

/// A key that changes nothing.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LeftoverRow {
    /// The key.
    pub key: String,
    /// Why.
    pub reason: String,
}

/// How much of a block a file changes.
#[derive(Debug, Clone, Serialize, TS)]
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
