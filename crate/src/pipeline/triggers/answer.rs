//! How a LoRA answers to words.

use super::super::error::PipelineError;
use super::super::progress::{Report, Stage};
use super::super::session::Session;
use super::super::stable_diffusion::{position_table, token_table};
use super::change::Parts;
use super::words::Candidate;
use crate::device::{Arena, Runner};
use crate::linalg::Dense;
use crate::model::Component;
use crate::num::to_f32;
use crate::plan::Plan;
use crate::weights::{LoadedAdapter, Strength};

/// Words that are encoded in one call.
const BATCH: usize = 64;
/// Padding tokens after the end token whose states count like its own: most states that the UNet reads are padding's.
const PADDING: usize = 8;
/// Words whose states are in memory at once. The mean state is that of so many words, evenly spread over the vocabulary.
const CHUNK: usize = 2048;

/// How a LoRA answers to one word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    /// Σ ‖ΔW s‖² over keys and values, for the state s that the UNet reads with the LoRA; none without such changes.
    pub unet: Option<f64>,
    /// ‖s‖².
    pub changed: f64,
    /// Squared length by which the text encoders' changes move the state; none without such changes.
    pub moved: Option<f64>,
    /// Squared length of the state without the LoRA.
    pub base: f64,
}

/// The text encoders, planned for texts of so many tokens.
struct Encoders {
    tokens: usize,
    runners: Vec<Runner>,
}

/// States of words, with and without a LoRA; equal if it leaves the text encoders as they are.
struct States {
    base: Dense,
    changed: Dense,
}

/// Returns the number of tokens of a text of words with so many tokens.
fn length(tokens: usize) -> usize {
    tokens + 2 + PADDING
}

impl Session {
    /// Returns the answers to these words, which are sorted by number of tokens.
    pub(super) async fn answers(
        &mut self,
        candidates: &mut [Candidate],
        parts: &Parts,
        report: Report<'_>,
    ) -> Result<Vec<Answer>, PipelineError> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.answers_of(candidates, parts, report).await;
        // Images need the text encoders without this change.
        let plans = self.short_plans(1)?;
        self.weights.release(&plans.iter().collect::<Vec<_>>())?;
        answers
    }

    async fn answers_of(
        &mut self,
        candidates: &mut [Candidate],
        parts: &Parts,
        report: Report<'_>,
    ) -> Result<Vec<Answer>, PipelineError> {
        candidates.sort_by_key(Candidate::tokens);
        let words = candidates.partition_point(|candidate| candidate.tokens() <= 1);
        let (words, phrases) = candidates.split_at(words);
        let sample: Vec<&Candidate> = words.iter().step_by(words.len().div_ceil(CHUNK).max(1)).collect();
        let mut encoders = self.encoders(1, report).await?;
        let mean = self.states(&encoders, &sample, parts.text.as_ref(), report).await?.mean();
        let mut answers = Vec::with_capacity(candidates.len());
        for chunk in words.chunks(CHUNK).chain(phrases.chunk_by(|a, b| a.tokens() == b.tokens())) {
            report(Stage::Text, answers.len(), candidates.len(), None)?;
            let tokens = chunk.iter().map(Candidate::tokens).max().unwrap_or(1);
            if encoders.tokens != tokens {
                encoders = self.encoders(tokens, report).await?;
            }
            let chunk: Vec<&Candidate> = chunk.iter().collect();
            let states = self.states(&encoders, &chunk, parts.text.as_ref(), report).await?;
            answers.extend(states.without(&mean).answers(parts));
        }
        Ok(answers)
    }

    /// Plans the text encoders for words of so many tokens.
    fn short_plans(&self, tokens: usize) -> Result<Vec<Plan>, PipelineError> {
        let spec = &self.model.spec;
        let plan = |index| Ok(spec.short_text_plan(index, BATCH, length(tokens))?.fuse_epilogues());
        (0..spec.text_encoders().len()).map(plan).collect()
    }

    /// Loads the text encoders as the files have them.
    async fn encoders(&mut self, tokens: usize, report: Report<'_>) -> Result<Encoders, PipelineError> {
        let plans = self.short_plans(tokens)?;
        let list: Vec<&Plan> = plans.iter().collect();
        self.weights.restore_any(&list)?;
        self.load(&list, report).await?;
        let arena = Arena::new(&self.device, &self.config, &list).await?;
        let mut runners = Vec::new();
        for plan in &plans {
            runners.push(Runner::with_arena(&self.device, plan, &|name| self.weights.get(name), &arena).await?);
        }
        Ok(Encoders { tokens, runners })
    }

    /// Returns the states of words, without and with a change of the text encoders.
    async fn states(
        &mut self,
        encoders: &Encoders,
        words: &[&Candidate],
        text: Option<&LoadedAdapter>,
        report: Report<'_>,
    ) -> Result<States, PipelineError> {
        let Some(text) = text else {
            let base = self.end_states(encoders, words, report).await?;
            return Ok(States { changed: base.clone(), base });
        };
        let components: Vec<Component> =
            self.model.spec.text_encoders().iter().map(|encoder| encoder.component).collect();
        let mut both = Vec::new();
        for strength in [0.0, 1.0] {
            let strength = Strength { unet: 0.0, text: strength, blocks: Default::default() };
            self.fold(&[(text, strength)], &components, report).await?;
            both.push(self.end_states(encoders, words, report).await?);
        }
        let changed = both.pop().unwrap_or_else(|| Dense::new(Vec::new(), 1));
        Ok(States { base: both.pop().unwrap_or_else(|| Dense::new(Vec::new(), 1)), changed })
    }

    /// Returns the mean states at the end token and the padding after it, (words, width), those of several text encoders
    /// side by side.
    async fn end_states(
        &self,
        encoders: &Encoders,
        words: &[&Candidate],
        report: Report<'_>,
    ) -> Result<Dense, PipelineError> {
        let descriptions = self.model.spec.text_encoders();
        let width = descriptions.iter().map(|encoder| encoder.width).sum();
        let mut states = Dense::new(vec![0.0; words.len() * width], width);
        let mut first = 0;
        for (index, (encoder, runner)) in descriptions.iter().zip(&encoders.runners).enumerate() {
            let (bos, eos, pad) = (encoder.tokenizer.bos_id(), encoder.tokenizer.eos_id(), encoder.tokenizer.pad_id());
            let (part, length) = (encoder.width, length(encoders.tokens));
            let positions: Vec<u32> = (0..).take(length).collect();
            runner
                .set("positions", &self.model.checkpoint.rows(&position_table(encoder.component), &positions).await?)?;
            for (at, batch) in words.chunks(BATCH).enumerate() {
                report(Stage::Text, 0, 1, None)?;
                let mut ids = Vec::with_capacity(BATCH * length);
                // A shorter last batch is filled up with its first word.
                for word in batch.iter().chain(std::iter::repeat(&batch[0])).take(BATCH) {
                    let word = &word.ids[index];
                    let padding = std::iter::repeat_n(pad, length - word.len() - 2);
                    ids.extend([bos].into_iter().chain(word.iter().copied()).chain([eos]).chain(padding));
                }
                let tokens = self.model.checkpoint.rows(&token_table(encoder.component), &ids).await?;
                runner.set("tokens", &tokens)?;
                let on_progress = &mut || report(Stage::Text, 0, 1, None);
                let found = runner.compute_cancellable("states", on_progress).await?;
                for (row, word) in batch.iter().enumerate() {
                    let end = row * length + 1 + word.ids[index].len();
                    let to = (at * BATCH + row) * width + first;
                    let mean = &mut states.data[to..to + part];
                    for state in found[end * part..].chunks_exact(part).take(1 + PADDING) {
                        mean.iter_mut().zip(state).for_each(|(mean, x)| *mean += x / (1 + PADDING) as f32);
                    }
                }
            }
            first += part;
        }
        Ok(states)
    }
}

impl States {
    /// Returns the mean states.
    fn mean(&self) -> States {
        let mean = |states: &Dense| {
            let mut sums = vec![0.0f64; states.columns];
            for row in states.data.chunks_exact(states.columns) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            Dense::new(sums.iter().map(|sum| to_f32(sum / states.rows.max(1) as f64)).collect(), states.columns)
        };
        States { base: mean(&self.base), changed: mean(&self.changed) }
    }

    /// Subtracts means.
    fn without(mut self, mean: &States) -> States {
        let subtract = |states: &mut Dense, mean: &Dense| {
            for row in states.data.chunks_exact_mut(states.columns) {
                row.iter_mut().zip(&mean.data).for_each(|(x, mean)| *x -= mean);
            }
        };
        subtract(&mut self.base, &mean.base);
        subtract(&mut self.changed, &mean.changed);
        self
    }

    /// Returns the answers to these states without their mean.
    fn answers(&self, parts: &Parts) -> Vec<Answer> {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let width = self.base.columns;
        let projected = parts.unet.as_ref().map(|sum| self.changed.times(sum));
        let rows = self.base.data.chunks_exact(width).zip(self.changed.data.chunks_exact(width));
        rows.enumerate()
            .map(|(row, (base, changed))| {
                let moved: Vec<f32> = changed.iter().zip(base).map(|(changed, base)| changed - base).collect();
                Answer {
                    unet: projected.as_ref().map(|all| dot(changed, &all.data[row * width..(row + 1) * width])),
                    changed: dot(changed, changed),
                    moved: parts.text.as_ref().map(|_| dot(&moved, &moved)),
                    base: dot(base, base),
                }
            })
            .collect()
    }
}
