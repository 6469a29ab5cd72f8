//! Turns a report into a row of a table of many files.

use super::loaders::LoaderStatus;
use super::report::{Container, FileKind, Report, Severity};
use serde::Serialize;
use ts_rs::TS;

/// A file in a row.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Summary {
    /// Its name or path.
    pub file: String,
    /// Its length in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Equal for copies of one file.
    pub header_sha256: String,
    /// How its bytes are organised.
    pub container: Container,
    /// What it is.
    pub kind: FileKind,
    /// The family of models that it was made for: `sd15`, …, or `unknown`.
    pub family: String,
    /// The family's name for people.
    pub label: String,
    /// The spelling of its keys.
    pub convention: String,
    /// The algorithms inside, joined by commas.
    pub algorithms: String,
    /// The smallest rank; null without any.
    pub rank_low: Option<usize>,
    /// The largest rank.
    pub rank_high: Option<usize>,
    /// Layers that it changes.
    pub layers: usize,
    /// Of those, in text encoders.
    pub text_layers: usize,
    /// Keys that change nothing.
    pub leftovers: usize,
    /// How its numbers are stored, joined by commas.
    pub dtypes: String,
    /// The program that trained it.
    pub trainer: Option<String>,
    /// Its title or the name that it was saved under.
    pub title: Option<String>,
    /// Words that call up what was learned, joined by commas.
    pub trigger_words: String,
    /// Short names of the loaders that apply all of it.
    pub works_in: Vec<String>,
    /// The worst problem's short name; null without one.
    pub problem: Option<String>,
    /// What it is, or what is wrong, in a sentence.
    pub verdict: String,
}

impl Summary {
    /// The row of a report.
    pub fn of(report: &Report) -> Summary {
        let ranks = || report.modules.iter().filter_map(|row| row.rank);
        let mut dtypes: Vec<&str> = report.modules.iter().map(|row| row.dtype.as_str()).collect();
        dtypes.sort_unstable();
        dtypes.dedup();
        let training = report.training.as_ref();
        let title = training.and_then(|training| training.settings.iter().find(|setting| setting.name == "title"));
        let words = training.iter().flat_map(|training| &training.trigger_words);
        let worst = report.problems.iter().find(|problem| problem.severity == Severity::Refuse);
        let works = report.loaders.iter().filter(|verdict| verdict.status == LoaderStatus::Applied);
        Summary {
            file: report.file.clone(),
            size: report.size,
            header_sha256: report.header_sha256.clone(),
            container: report.container,
            kind: report.kind,
            family: report.base.family.clone(),
            label: report.base.label.clone(),
            convention: report.convention.clone(),
            algorithms: report.algorithms.join(", "),
            rank_low: ranks().min(),
            rank_high: ranks().max(),
            layers: report.modules.len(),
            text_layers: report.modules.iter().filter(|row| row.path.starts_with("text_encoder")).count(),
            leftovers: report.leftovers.len(),
            dtypes: dtypes.join(", "),
            trainer: training.and_then(|training| training.trainer.clone()),
            title: title.map(|title| title.value.clone()),
            trigger_words: words.map(|word| word.text.as_str()).collect::<Vec<_>>().join(", "),
            works_in: works.map(|verdict| verdict.loader.clone()).collect(),
            problem: worst.or(report.problems.first()).map(|problem| problem.class.clone()),
            verdict: report.verdict.clone(),
        }
    }
}
