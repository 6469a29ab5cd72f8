//! Encoding of prompts by a session's text encoders.

use super::error::PipelineError;
use super::latents::Latents;
use super::plans::text_plans;
use super::progress::{Report, Stage};
use super::request::Request;
use super::session::Session;
use super::spec::{Conditioning, EncodePrompts};
use crate::gpu::{Arena, Runner};
use crate::plan::Plan;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Conditioning of each prompt segment.
pub(super) type SegmentConditioning = BTreeMap<(usize, usize), Rc<Conditioning>>;

/// Maximum number of prompt segments whose conditioning is kept for the next image.
const MAX_CACHED_PROMPTS: usize = 8;

impl Session {
    /// Encodes the prompts of all remaining calls. The text encoders' weights are in GPU memory only while
    /// they are needed, or while an adapter changes them.
    pub(super) async fn encode_all_prompts(
        &mut self,
        request: &Request<'_>,
        latents: &Latents,
        report: Report<'_>,
    ) -> Result<SegmentConditioning, PipelineError> {
        let plans = text_plans(&self.model, request.shape)?;
        let plans: Vec<&Plan> = plans.iter().collect();
        let is_changed = request.chosen.iter().any(|(loaded, _)| loaded.changes_text_encoder());
        let calls = latents.next_call..latents.sampler.timesteps().len();
        let is_cached =
            |segment| self.conditioning_cache.iter().any(|(cached, _)| *cached == self.cache_key(request, segment));
        let all_cached = calls.clone().all(|call| is_cached(request.script.segment_at(call)));
        if is_changed {
            // An adapter is folded into all of its layers at once, so the UNet's weights must be loaded too.
            self.load(&plans, report).await?;
            self.prepare(request.shape, report).await?;
            self.apply_adapters(request, report).await?;
        }
        let mut runners = Vec::new();
        if !all_cached {
            if !is_changed {
                self.weights.restore_any(&self.gpu, &plans)?;
                self.load(&plans, report).await?;
            }
            report(Stage::Text, 0, 1, None)?;
            // The encoders run one after the other and share their temporaries.
            let arena = Arena::new(&self.gpu, &self.config, &plans).await?;
            for plan in &plans {
                runners.push(Runner::with_arena(&self.gpu, plan, &|name| self.weights.get(name), &arena).await?);
            }
        }
        let mut segments = SegmentConditioning::new();
        for call in calls {
            let segment = request.script.segment_at(call);
            if segments.contains_key(&segment) {
                continue;
            }
            let key = self.cache_key(request, segment);
            let cached = self.conditioning_cache.iter().find(|(cached, _)| *cached == key);
            let conditioning = match cached.map(|(_, conditioning)| conditioning.clone()) {
                Some(conditioning) => conditioning,
                None => Rc::new(self.encode_prompts(&runners, request, segment, report).await?),
            };
            self.conditioning_cache.retain(|(cached, _)| *cached != key);
            self.conditioning_cache.push((key, conditioning.clone()));
            self.conditioning_cache.drain(..self.conditioning_cache.len().saturating_sub(MAX_CACHED_PROMPTS));
            segments.insert(segment, conditioning);
        }
        if !is_changed {
            self.weights.release(&self.gpu, &plans)?;
        }
        Ok(segments)
    }

    /// Returns the cache key of a segment's conditioning: everything that it depends on.
    fn cache_key(&self, request: &Request<'_>, segment: (usize, usize)) -> String {
        let Request { recipe, shape, script, .. } = request;
        let adapters = request.chosen.iter().filter(|(loaded, _)| loaded.changes_text_encoder());
        let adapters: Vec<_> = adapters.map(|(loaded, strength)| (&loaded.id, strength)).collect();
        let embeddings: Vec<_> = recipe.embeddings.iter().map(|choice| &choice.sha256).collect();
        format!(
            "{:?} {:?} {shape:?} {adapters:?} {embeddings:?} {:?}",
            script.texts(segment),
            recipe.program,
            script.words
        )
    }

    /// Encodes a segment's prompts into the UNet's conditioning.
    async fn encode_prompts(
        &self,
        runners: &[Runner],
        request: &Request<'_>,
        segment: (usize, usize),
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let Request { shape, script, .. } = request;
        let (negative, prompt) = script.texts(segment);
        let mut prompts = vec![Some(prompt); shape.pictures];
        if shape.guided {
            prompts.splice(0..0, vec![negative; shape.pictures]);
        }
        let work = EncodePrompts {
            gpu: &self.gpu,
            checkpoint: &self.model.checkpoint,
            runners,
            request,
            prompts: &prompts,
            report,
        };
        let conditioning = self.model.spec.encode(work).await?;
        let is_finite = |(_, values): &(&str, Vec<f32>)| values.iter().all(|value| value.is_finite());
        if !conditioning.inputs.iter().all(is_finite)
            && let Some(last) = runners.last()
        {
            return Err(self.not_finite(&[last], "text encoder", None, request).await?);
        }
        Ok(conditioning)
    }
}
