//! One sampling pass: prompt encoding, the denoising loop and VAE decoding.

use super::conditioning::{self, Conditioning};
use super::error::PipelineError;
use super::generate::{Report, Request, Session, Stage, Start, timestep_embedding};
use super::latents::Latents;
use super::preview::Previewer;
use super::runners::{Runners, Shape};
use crate::gpu::{Arena, GpuError, Runner};
use crate::num::{host_len, to_f32};
use crate::plan::Plan;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Conditioning of each prompt segment.
type SegmentConditioning = BTreeMap<(usize, usize), Rc<Conditioning>>;

/// Maximum number of prompt segments whose conditioning is kept for the next image.
const MAX_CACHED_PROMPTS: usize = 8;

impl Session {
    /// Runs what remains of a pass and returns its pixels (B, H, W, 3), or nothing without `needs_pixels`.
    pub(super) async fn run_pass(
        &mut self,
        request: &Request<'_>,
        latents: &mut Latents,
        needs_pixels: bool,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let segments = self.encode_all_prompts(request, latents, report).await?;
        let runners = self.prepare(request.shape, report).await?;
        self.apply_adapters(request, report).await?;
        if request.preview && self.previewer.is_none() {
            self.previewer = Some(self.make_previewer().await?);
        }
        self.denoise(&runners, request, latents, &segments, report).await?;
        if !needs_pixels {
            return Ok(Vec::new());
        }
        report(Stage::Decode, 0, request.shape.pictures, None)?;
        let latents = latents.current.as_deref().unwrap_or_default();
        self.decode(&runners.decoder, latents, request.shape.pictures, report).await
    }

    /// Folds the adapters into the weights.
    async fn apply_adapters(&mut self, request: &Request<'_>, report: Report<'_>) -> Result<(), PipelineError> {
        report(Stage::Adapters, 0, request.chosen.len(), None)?;
        Ok(self.weights.apply(&self.gpu, &self.config, &self.model.checkpoint, request.chosen).await?)
    }

    /// Encodes the prompts of all remaining calls. The text encoders' weights are in GPU memory only while
    /// they are needed, or while an adapter changes them.
    async fn encode_all_prompts(
        &mut self,
        request: &Request<'_>,
        latents: &Latents,
        report: Report<'_>,
    ) -> Result<SegmentConditioning, PipelineError> {
        let plans = conditioning::plans(&self.model.encoders(), request.shape.items(), request.shape.clip_skip)?;
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
            recipe.syntax,
            script.words
        )
    }

    /// Runs the denoising loop. Latents change only when a call is complete, so that a failed call can be
    /// repeated.
    async fn denoise(
        &self,
        runners: &Runners,
        request: &Request<'_>,
        latents: &mut Latents,
        segments: &SegmentConditioning,
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        let Request { recipe, shape, .. } = request;
        if latents.current.is_none() {
            let clean = match &request.start {
                Start::Noise => None,
                Start::Latents { clean, .. } => Some(clean.clone()),
                Start::Picture { pixels, .. } => {
                    Some(self.encode(runners, pixels, *shape, &latents.posterior, report).await?)
                }
                Start::Pixels { pixels, .. } => {
                    Some(self.encode(runners, pixels, *shape, &latents.posterior, report).await?)
                }
            };
            latents.start(clean);
        }
        let copies = if shape.guided { 2 } else { 1 };
        let calls = latents.sampler.timesteps().len();
        let time_width = self.model.networks.unet.config.block_out_channels[0];
        while latents.next_call < calls {
            let (call, first) = (latents.next_call, latents.first_call);
            report(Stage::Denoise, call - first, calls - first, latents.preview.as_ref())?;
            let segment = request.script.segment_at(call);
            if latents.bound_segment != Some(segment) {
                let conditioning = &segments[&segment];
                runners.texts.set(&self.gpu, "text", &conditioning.states)?;
                if let Some(added) = &conditioning.added {
                    runners.texts.set(&self.gpu, "added", added)?;
                }
                runners.texts.run(&self.gpu);
                latents.bound_segment = Some(segment);
            }
            let input = latents.input();
            runners.unet.set(&self.gpu, "sample", &input.repeat(copies))?;
            let time = timestep_embedding(latents.sampler.timesteps()[call], time_width);
            runners.unet.set(&self.gpu, "time", &time.repeat(copies * shape.pictures))?;
            if let Some(width) = self.model.networks.unet.config.time_cond_proj_dim {
                let guidance = guidance_embedding(recipe.guidance, width);
                runners.unet.set(&self.gpu, "guidance", &guidance.repeat(copies * shape.pictures))?;
            }
            let on_progress = &mut || report(Stage::Denoise, call - first, calls - first, latents.preview.as_ref());
            let mut predicted = runners.unet.compute_cancellable(&self.gpu, "noise", on_progress).await?;
            if predicted.iter().any(|value| !value.is_finite()) {
                if runners.unet.uses_f16_math {
                    return Err(PipelineError::F16Overflow);
                }
                return Err(self
                    .not_finite(&[&runners.texts, &runners.unet], "UNet", Some((call + 1, calls)), request)
                    .await?);
            }
            if shape.guided {
                let conditional = predicted.split_off(input.len());
                for (unconditional, conditional) in predicted.iter_mut().zip(conditional) {
                    *unconditional += recipe.guidance * (conditional - *unconditional);
                }
            }
            if let Some(previewer) = self.previewer.as_ref().filter(|_| request.preview) {
                let clean = latents.predicted_x0(&predicted);
                latents.preview =
                    Some(previewer.show(&clean[..clean.len() / shape.pictures], shape.height, shape.width));
            }
            latents.step(&predicted);
        }
        Ok(())
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
        let conditioning = self.condition(runners, request, &prompts, report).await?;
        if conditioning.states.iter().any(|value| !value.is_finite())
            && let Some(last) = runners.last()
        {
            return Err(self.not_finite(&[last], "text encoder", None, request).await?);
        }
        Ok(conditioning)
    }

    /// Encodes images into latents: a sample of the encoder's distribution, or its mean if `posterior` is
    /// empty. A single image is repeated over the batch.
    async fn encode(
        &self,
        runners: &Runners,
        images: &[f32],
        shape: Shape,
        posterior: &[f32],
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let missing = || GpuError::Missing { plan: "this image".into(), name: "the VAE's encoder".into() };
        let encoder = runners.encoder.as_ref().ok_or_else(missing)?;
        let config = &self.model.vae.config;
        let (channels, scale) = (config.latent_channels, config.scaling_factor);
        let latent_len = shape.height * shape.width * channels;
        let mut moments = Vec::new();
        for image in images.chunks_exact(encoder.len("image").map_or(images.len(), host_len)) {
            encoder.set(&self.gpu, "image", image)?;
            let on_progress = &mut || report(Stage::Denoise, 0, 1, None);
            moments.push(encoder.compute_cancellable(&self.gpu, "moments", on_progress).await?);
        }
        let sample = |index: usize| {
            let moments = &moments[index / latent_len % moments.len()];
            let at = index % latent_len / channels * 2 * channels + index % channels;
            let noise = posterior.get(index).copied().unwrap_or(0.0);
            let std = (0.5 * moments[at + channels].clamp(-30.0, 20.0)).exp();
            (moments[at] + std * noise) * scale
        };
        Ok((0..latent_len * shape.pictures).map(sample).collect())
    }

    /// Decodes latents into pixels (B, H, W, 3), one image at a time.
    async fn decode(
        &self,
        decoder: &Runner,
        latents: &[f32],
        batch: usize,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let mut images = Vec::new();
        for (index, latent) in latents.chunks_exact(latents.len() / batch).enumerate() {
            let on_progress = &mut || report(Stage::Decode, index, batch, None);
            let pixels = self.decode_one(decoder, latent, on_progress).await?;
            if pixels.iter().any(|value| !value.is_finite()) {
                let layer = decoder.find_non_finite(&self.gpu).await?;
                let hint = "try another VAE; this one may be damaged".into();
                return Err(PipelineError::NotFinite { when: "decoding".into(), network: "VAE", layer, hint });
            }
            images.extend(pixels);
            report(Stage::Decode, index + 1, batch, None)?;
        }
        Ok(images)
    }

    /// Decodes one image's latents; `decoder` must be planned for their size.
    pub(super) async fn decode_one(
        &self,
        decoder: &Runner,
        latent: &[f32],
        on_progress: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<Vec<f32>, PipelineError> {
        let scale = self.model.vae.config.scaling_factor;
        let scaled: Vec<f32> = latent.iter().map(|value| value / scale).collect();
        decoder.set(&self.gpu, "latents", &scaled)?;
        decoder.compute_cancellable(&self.gpu, "image", on_progress).await
    }

    /// Builds the error that names the first layer with non-finite output.
    async fn not_finite(
        &self,
        runners: &[&Runner],
        network: &'static str,
        step: Option<(usize, usize)>,
        request: &Request<'_>,
    ) -> Result<PipelineError, PipelineError> {
        let mut layer = None;
        for runner in runners {
            if layer.is_none() {
                layer = runner.find_non_finite(&self.gpu).await?;
            }
        }
        let when = step.map_or("encoding the prompt".into(), |(step, steps)| format!("step {step} of {steps}"));
        let hint = match request.chosen.is_empty() {
            true => "the model's weights may be damaged: download them again, or use the f32 version",
            false => "try a lower LoRA strength, or generate without LoRAs",
        };
        Ok(PipelineError::NotFinite { when, network, layer, hint: hint.into() })
    }

    async fn make_previewer(&self) -> Result<Previewer, PipelineError> {
        match Previewer::published(&self.model) {
            Some(previewer) => Ok(previewer),
            None => self.fitted_previewer().await,
        }
    }
}

/// Returns sines, then cosines, of 1000 (guidance - 1) at `width / 2` frequencies from 1 to 1/10000
/// (diffusers' `get_guidance_scale_embedding`).
fn guidance_embedding(guidance: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let position = 1000.0 * f64::from(guidance - 1.0);
    let angle = |i: usize| position * (-(10_000f64.ln()) * i as f64 / (half as f64 - 1.0)).exp();
    let sines = (0..half).map(|i| to_f32(angle(i).sin()));
    sines.chain((0..half).map(|i| to_f32(angle(i).cos()))).collect()
}
