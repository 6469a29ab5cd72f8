//! Compatibility with other programs: whether each loader applies, partly applies, ignores or refuses
//! a file, why, what it logs, and how the strength differs. rules.toml holds the rules.

mod effect;
mod evidence;
mod judge;
mod log;
mod outcome;
mod reasons;
mod rules;
mod strength;

pub use effect::{LoaderEffect, effects, harms_others, weights};
pub use evidence::Evidence;
pub use judge::{Judgement, judgements};
pub use log::{LogExplanation, explain_log};

use crate::sentence::{Sentence, Value, sentence};
use serde::Serialize;
use ts_rs::TS;

/// Compatibility of a file with one loader.
#[derive(Debug, Clone, Serialize, TS)]
pub struct LoaderVerdict {
    /// Identifier: `comfyui`, `a1111`, `forge`, `diffusers`, `invokeai`, `stable_diffusion_cpp`, `this_page`.
    pub loader: String,
    /// Display name.
    pub label: String,
    /// The version that the rules describe, their date, and the version since which such files load, if it is known.
    pub version: Sentence,
    /// Overall result.
    pub status: LoaderStatus,
    /// Number of applied layers.
    pub applied: usize,
    /// Number of layers that the file changes.
    pub total: usize,
    /// Reason why layers or keys are not applied; null if all are.
    pub reason: Option<Sentence>,
    /// The line that the loader logs.
    pub log: Option<String>,
    /// Difference from the intended effect, with its size.
    pub strength_note: Option<Sentence>,
    /// What it does if the file is for another family that it fits, if that differs; see [`Base::others`].
    ///
    /// [`Base::others`]: super::report::Base::others
    pub otherwise: Option<Sentence>,
    /// Why the verdict is only likely: its rules were read in the program's source and not seen in a run; null if they
    /// were.
    pub likely: Option<Sentence>,
}

impl LoaderVerdict {
    /// Notes the verdict on the same file as one for the model `base`, if it differs.
    pub(super) fn compare(&mut self, other: &LoaderVerdict, base: Value) {
        if (self.status, self.applied) == (other.status, other.applied) {
            return;
        }
        let first = match other.status {
            LoaderStatus::Unknown => sentence!("loader.otherwise_unknown", base = base),
            _ => sentence!("loader.otherwise", base = base, applied = other.applied, total = other.total),
        };
        let reason = other.reason.clone().filter(|_| other.applied == 0 && other.status != LoaderStatus::Unknown);
        let notes = [self.otherwise.take(), Some(first), reason];
        self.otherwise = Sentence::joined(notes.into_iter().flatten().collect());
    }
}

/// The layers that a file changes, and those that each loader applies.
#[derive(Debug, Clone, Default)]
pub struct AppliedLayers {
    /// The family that they were judged for.
    pub family: String,
    /// The changed weights of each layer; see [`weights`].
    pub weights: Vec<Vec<String>>,
    /// For each loader, in the order of the verdicts, whether it applies each layer.
    pub by_loader: Vec<Vec<bool>>,
    /// The same for each other family that the file fits.
    pub others: Vec<AppliedLayers>,
}

/// Result of loading a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
#[ts(rename_all = "snake_case")]
pub enum LoaderStatus {
    /// Every layer is applied.
    Applied,
    /// Some layers are applied.
    Partly,
    /// No layer is applied, without an error: images are generated without the file.
    Ignored,
    /// Loading fails, or the whole file is skipped with a message.
    Refused,
    /// No rule covers this case.
    Unknown,
}
