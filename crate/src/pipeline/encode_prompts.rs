//! Encoding of prompts by a session's text encoders.

use super::error::PipelineError;
use super::latents::Latents;
use super::plans::text_plans;
use super::progress::{Report, Stage};
use super::prompt_schedule::{PromptLine, Role};
use super::request::Request;
use super::session::Session;
use super::spec::{EncodePrompts, EncodedPrompt, EncodedText};
use crate::device::{Arena, Runner};
use crate::model::Component;
use crate::plan::Plan;
use crate::sentence::sentence;
use std::rc::Rc;

/// The encoded prompts of a pass.
pub(super) struct EncodedPrompts {
    /// The negative prompt, if it has an effect, then the parts of the prompt.
    lines: Vec<Rc<EncodedPrompt>>,
    /// The empty prompt, if the shorter side is filled up with it.
    empty: Option<Rc<EncodedPrompt>>,
}

impl EncodedPrompts {
    /// Returns the text of each batch item of a segment, extended to the pass's number of chunks.
    pub fn items(&self, request: &Request<'_>, segment: &[usize]) -> Vec<EncodedText> {
        let Request { shape, lengths, .. } = request;
        let empty = self.empty.as_ref().map(|empty| &empty.texts[0]);
        let first = segment.len() - self.lines.len();
        let items = self.lines.iter().zip(&segment[first..]).enumerate().flat_map(|(index, (line, &text))| {
            let text = line.texts[text].clone();
            let text = match index + first {
                0 => text,
                _ => text.with_last_state_repeated(lengths.prompt),
            };
            vec![text.extended(shape.chunks, empty); shape.images]
        });
        items.collect()
    }
}

/// Maximum number of prompts whose encodings are kept for the next image.
const MAX_CACHED_PROMPTS: usize = 8;

impl Session {
    /// Encodes the prompts of a pass. The text encoders' weights are in GPU memory only while they are needed, or while
    /// an adapter changes them and memory is not saved.
    pub(super) async fn encode_all_prompts(
        &mut self,
        request: &Request<'_>,
        latents: &Latents,
        report: Report<'_>,
    ) -> Result<EncodedPrompts, PipelineError> {
        let plans = text_plans(&self.model, request.shape)?;
        let plans: Vec<&Plan> = plans.iter().collect();
        let is_changed = request.chosen.iter().any(|chosen| chosen.adapter.changes_text_encoder());
        let are_kept = is_changed && !self.config.saves_memory();
        let components: Vec<Component> =
            self.model.spec.text_encoders().iter().map(|encoder| encoder.component).collect();
        if are_kept {
            // An adapter is folded into all of its layers at once, so the UNet's weights must be loaded too.
            self.load(&plans, report).await?;
            self.prepare(request.shape, report).await?;
            self.apply_adapters(request, latents, &components, report).await?;
        }
        let script = &request.script;
        let empty = PromptLine::new(vec![(0, String::new())], Role::Prompt);
        let is_filled_up =
            request.lengths.pads && request.shape.guided && request.lengths.negative != request.lengths.prompt;
        let lines = script.lines.iter().skip(usize::from(!request.shape.guided));
        let lines: Vec<&PromptLine> = lines.chain(is_filled_up.then_some(&empty)).collect();
        let cached = |session: &Session, line: &PromptLine| {
            let key = cache_key(request, line);
            session.prompt_cache.iter().find(|(cached, _)| *cached == key).map(|(_, encoded)| encoded.clone())
        };
        let mut missing: Vec<&PromptLine> = Vec::new();
        for line in &lines {
            if cached(self, line).is_none() && !missing.contains(line) {
                missing.push(line);
            }
        }
        let mut fresh = Vec::new();
        if !missing.is_empty() {
            if !is_changed {
                self.weights.restore_any(&plans)?;
            }
            if !are_kept {
                self.load(&plans, report).await?;
            }
            if is_changed && !are_kept {
                self.apply_adapters(request, latents, &components, report).await?;
            }
            report(Stage::Text, 0, 1, None)?;
            fresh = self.encode_lines(request, &plans, &missing, report).await?;
        }
        let encoded = lines.iter().filter_map(|line| {
            let at = missing.iter().position(|missing| missing == line);
            at.and_then(|at| fresh.get(at).cloned()).or_else(|| cached(self, line))
        });
        let mut encoded: Vec<Rc<EncodedPrompt>> = encoded.collect();
        for (line, encoded) in lines.iter().zip(&encoded) {
            let key = cache_key(request, line);
            self.prompt_cache.retain(|(cached, _)| *cached != key);
            self.prompt_cache.push((key, encoded.clone()));
        }
        self.prompt_cache.drain(..self.prompt_cache.len().saturating_sub(MAX_CACHED_PROMPTS));
        if !are_kept {
            self.weights.release(&plans)?;
        }
        let empty = if is_filled_up { encoded.pop() } else { None };
        Ok(EncodedPrompts { lines: encoded, empty })
    }

    /// Encodes prompts.
    async fn encode_lines(
        &self,
        request: &Request<'_>,
        plans: &[&Plan],
        lines: &[&PromptLine],
        report: Report<'_>,
    ) -> Result<Vec<Rc<EncodedPrompt>>, PipelineError> {
        // The encoders run one after the other and share their temporaries.
        let arena = Arena::new(&self.device, &self.config, plans).await?;
        let mut runners = Vec::new();
        for plan in plans {
            runners.push(Runner::with_arena(&self.device, plan, &|name| self.weights.get(name), &arena).await?);
        }
        let checkpoint = &self.model.checkpoint;
        let work = EncodePrompts { checkpoint, runners: &runners, request, lines, report };
        let encoded = self.model.spec.encode(work).await?;
        let texts = encoded.iter().flat_map(|line| &line.texts);
        let mut values = texts.flat_map(|text| text.states.iter().chain(&text.pooled));
        if !values.all(|value| value.is_finite())
            && let Some(last) = runners.last()
        {
            let layer = last.find_non_finite().await?;
            return Err(request.not_finite(layer, sentence!("image.encoder"), None));
        }
        Ok(encoded.into_iter().map(Rc::new).collect())
    }
}

/// Returns the cache key of an encoded prompt: everything that it depends on.
fn cache_key(request: &Request<'_>, line: &PromptLine) -> String {
    let Request { recipe, shape, script, .. } = request;
    let adapters = request.chosen.iter().filter(|chosen| chosen.adapter.changes_text_encoder());
    let adapters: Vec<_> = adapters.map(|chosen| (&chosen.adapter.id, chosen.text_strength())).collect();
    let embeddings: Vec<_> = recipe.embeddings.iter().map(|choice| &choice.sha256).collect();
    let mode = (recipe.program, recipe.emphasis, shape.clip_skip);
    format!("{line:?} {mode:?} {adapters:?} {embeddings:?} {:?}", script.words)
}
