//! Trigger words from the numbers of a LoRA: how strongly it answers to each word of the vocabulary.
//!
//! Each word is encoded by itself. Its state is the mean at the end token and some padding, which is most of what the UNet
//! reads of a prompt, less the mean over the vocabulary. A LoRA of the UNet answers by what it adds to the keys and values of cross-attention, a LoRA of the text encoders by moving the state.
//! Both are taken relative to the length of the state, so that words to which any change answers do not win.
//! docs/triggers.md says how well this works.

mod answer;
mod change;
mod words;

use super::error::PipelineError;
use super::progress::{Control, Progress, Report};
use super::session::Session;
use crate::weights::LoadedAdapter;
use answer::Answer;
use serde::Serialize;
use std::ops::ControlFlow;
use ts_rs::TS;
use words::Candidate;

/// A word and how strongly a LoRA answers to it.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct RankedWord {
    /// The word, or words.
    pub word: String,
    /// How strongly the LoRA answers, as a multiple of the median over the vocabulary.
    pub score: f64,
    /// The part of the UNet's keys and values, as such a multiple; none if the LoRA does not change them.
    pub unet: Option<f64>,
    /// The part of the text encoders, as such a multiple; none if the LoRA does not change them.
    pub text: Option<f64>,
    /// Whether the header has it too.
    pub in_header: bool,
    /// Number of tokens.
    pub tokens: usize,
}

/// What a search for trigger words found.
#[derive(Debug, Clone, PartialEq, Serialize, TS)]
pub struct RankedWords {
    /// The first words.
    pub words: Vec<RankedWord>,
    /// Number of words that were compared; 0 if the LoRA changes neither text encoders nor keys and values.
    pub compared: usize,
}

impl Session {
    /// Ranks the words of the vocabulary, and `hints` from its header, by how strongly the LoRA answers to them, and
    /// returns the first `top`. `progress` is called before each part of the work and can stop it there.
    pub async fn find_triggers(
        &mut self,
        lora: LoadedAdapter,
        hints: &[String],
        top: usize,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<RankedWords, PipelineError> {
        let report: Report = &mut |stage, step, steps, preview| match progress(Progress { stage, step, steps, preview })
        {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };
        let parts = self.split(lora, report).await?;
        let mut candidates = match parts.is_empty() {
            true => Vec::new(),
            false => self.candidates(hints),
        };
        let answers = self.answers(&mut candidates, &parts, report).await?;
        let compared = candidates.len();
        Ok(RankedWords { words: ranked(candidates, &answers, top), compared })
    }
}

/// Returns the words with the strongest answers.
fn ranked(candidates: Vec<Candidate>, answers: &[Answer], top: usize) -> Vec<RankedWord> {
    let unet = multiples(answers, |answer| Some((answer.unet?, answer.changed)));
    let text = multiples(answers, |answer| Some((answer.moved?, answer.base)));
    let mut words: Vec<RankedWord> = candidates
        .into_iter()
        .zip(unet.into_iter().zip(text))
        .map(|(candidate, (unet, text))| RankedWord {
            score: match (unet, text) {
                (Some(unet), Some(text)) => (unet * text).sqrt(),
                (unet, text) => unet.or(text).unwrap_or(0.0),
            },
            unet,
            text,
            in_header: candidate.in_header,
            tokens: candidate.tokens(),
            word: candidate.word,
        })
        .collect();
    words.sort_by(|a, b| b.score.total_cmp(&a.score));
    words.truncate(top);
    words
}

/// Returns each answer relative to its state, as a multiple of the median. The median length is added to each state's:
/// what states near the mean answer is mostly chance.
fn multiples(answers: &[Answer], of: impl Fn(&Answer) -> Option<(f64, f64)>) -> Vec<Option<f64>> {
    let parts: Vec<Option<(f64, f64)>> = answers.iter().map(of).collect();
    let usual = median(parts.iter().flatten().map(|(_, length)| *length));
    let relative = |(answer, length): (f64, f64)| answer / (length + usual).max(f64::MIN_POSITIVE);
    let relatives: Vec<Option<f64>> = parts.into_iter().map(|part| part.map(relative)).collect();
    let usual = median(relatives.iter().flatten().copied()).max(f64::MIN_POSITIVE);
    relatives.into_iter().map(|relative| relative.map(|relative| relative / usual)).collect()
}

/// Returns the median, the lower one of two; 0 of nothing.
fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}
