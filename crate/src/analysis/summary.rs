//! One table row per file, summarized from its report.

use super::loaders::LoaderStatus;
use super::problem_class::ProblemClass;
use super::report::{Container, FileKind, Report, Severity};
use crate::sentence::Sentence;
use serde::Serialize;
use ts_rs::TS;

/// Summary of a file's report.
#[derive(Debug, Clone, Serialize, TS)]
pub struct Summary {
    /// File name or path.
    pub file: String,
    /// File size in bytes.
    #[ts(type = "number")]
    pub size: u64,
    /// Hash of the header; equal for copies of one file.
    pub header_sha256: String,
    /// File format.
    pub container: Container,
    /// Kind of file.
    pub kind: FileKind,
    /// Base model family: `sd15`, …, or `unknown`.
    pub family: String,
    /// Display names of the family and of others that the file fits, joined by " / ".
    pub label: String,
    /// Key format.
    pub convention: String,
    /// Algorithms, joined by commas.
    pub algorithms: String,
    /// The smallest rank; null if no layer has a rank.
    pub rank_low: Option<usize>,
    /// The largest rank.
    pub rank_high: Option<usize>,
    /// Number of changed layers.
    pub layers: usize,
    /// Number of changed layers in text encoders.
    pub text_layers: usize,
    /// Number of unused keys.
    pub leftovers: usize,
    /// Dtypes, joined by commas.
    pub dtypes: String,
    /// The program it was trained with.
    pub trainer: Option<String>,
    /// Title from the metadata, or the output name.
    pub title: Option<String>,
    /// Trigger words, joined by commas.
    pub trigger_words: String,
    /// Identifiers of the loaders that apply the whole file.
    pub works_in: Vec<String>,
    /// Class of the most severe problem; null if there is none.
    #[ts(type = "string | null")]
    pub problem: Option<ProblemClass>,
    /// The report's verdict.
    pub verdict: Sentence,
}

impl Summary {
    /// Summarizes a report.
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
            label: report.base.labels(),
            convention: report.convention.clone(),
            algorithms: report.algorithms.join(", "),
            rank_low: ranks().min(),
            rank_high: ranks().max(),
            layers: report.modules.len(),
            text_layers: report.modules.iter().filter(|row| row.path.starts_with("text_encoder")).count(),
            leftovers: report.leftovers.len(),
            dtypes: dtypes.join(", "),
            trainer: training.and_then(|training| training.trainer.clone()),
            title: title.map(|title| title.value.to_string()),
            trigger_words: words.map(|word| word.text.as_str()).collect::<Vec<_>>().join(", "),
            works_in: works.map(|verdict| verdict.loader.clone()).collect(),
            problem: worst.or(report.problems.first()).map(|problem| problem.class),
            verdict: report.verdict.clone(),
        }
    }
}
