//! Turns a pass into latents and colours: text states, then call by call of the UNet, then the decoder.

use super::conditioning::{self, Conditioning};
use super::error::PipelineError;
use super::generate::{Request, Report, Session, Stage, Start, timestep_embedding};
use super::latents::Latents;
use super::preview::Previewer;
use super::runners::Shape;
use crate::gpu::{Arena, Runner};
use crate::num::{host_len, to_f32};
use std::collections::BTreeMap;
use std::rc::Rc;

/// What a call of the UNet is told, by the scene that it is in.
type SegmentConditioning = BTreeMap<(usize, usize), Rc<Conditioning>>;

/// Texts whose states are kept for the next picture.
const MAX_CACHED_PROMPTS: usize = 8;

impl Session {
    /// Does what is left of a pass and returns its colours, where they are wanted.
    pub(super) async fn draw(
        &mut self,
        job: &Request<'_>,
        latents: &mut Latents,
        wants_pixels: bool,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let scenes = self.encode_all_prompts(job, latents, report).await?;
        self.prepare(job.shape, report).await?;
        self.apply_adapters(job, report).await?;
        if job.preview && self.previewer.is_none() {
            self.previewer = Some(self.make_previewer().await?);
        }
        self.denoise(job, latents, &scenes, report).await?;
        if !wants_pixels {
            return Ok(Vec::new());
        }
        report(Stage::Decode, 0, job.shape.pictures, None)?;
        self.decode(latents.now.as_deref().unwrap_or_default(), job.shape.pictures, report).await
    }

    /// Folds the adapters into the weights.
    async fn apply_adapters(&mut self, job: &Request<'_>, report: Report<'_>) -> Result<(), PipelineError> {
        report(Stage::Adapters, 0, job.chosen.len(), None)?;
        Ok(self.weights.apply(&self.gpu, &self.model.checkpoint, job.chosen).await?)
    }

    /// The states of all texts that the calls to come are told of. The text encoders' weights are in
    /// graphics memory only while they are needed, or while an adapter changes them.
    async fn encode_all_prompts(
        &mut self,
        job: &Request<'_>,
        latents: &Latents,
        report: Report<'_>,
    ) -> Result<SegmentConditioning, PipelineError> {
        let plans = conditioning::plans(&self.model.encoders(), job.shape.items(), job.shape.clip_skip)?;
        let is_changed = job.chosen.iter().any(|(loaded, _)| loaded.changes_text());
        let calls = latents.call..latents.sampler.timesteps().len();
        let is_known = |scene| self.conditioning_cache.iter().any(|(known, _)| *known == self.text_key(job, scene));
        let all_known = calls.clone().all(|call| is_known(job.script.segment_at(call)));
        if is_changed {
            // Folds change all of an adapter's layers at once.
            self.load(&plans, report).await?;
            self.prepare(job.shape, report).await?;
            self.apply_adapters(job, report).await?;
        }
        let mut runners = Vec::new();
        if !all_known {
            if !is_changed {
                self.weights.restore_any(&self.gpu, &plans)?;
                self.load(&plans, report).await?;
            }
            report(Stage::Text, 0, 1, None)?;
            // One after the other reads its texts.
            let arena = Arena::of(&self.gpu, &plans.iter().collect::<Vec<_>>()).await?;
            for plan in &plans {
                runners.push(Runner::within(&self.gpu, plan, &|name| self.weights.get(name), &arena).await?);
            }
        }
        let mut scenes = SegmentConditioning::new();
        for call in calls {
            let scene = job.script.segment_at(call);
            if scenes.contains_key(&scene) {
                continue;
            }
            let key = self.text_key(job, scene);
            let known = self.conditioning_cache.iter().find(|(known, _)| *known == key).map(|(_, told)| told.clone());
            let told = match known {
                Some(told) => told,
                None => Rc::new(self.encode_prompts(&runners, job, scene, report).await?),
            };
            self.conditioning_cache.retain(|(known, _)| *known != key);
            self.conditioning_cache.push((key, told.clone()));
            self.conditioning_cache.drain(..self.conditioning_cache.len().saturating_sub(MAX_CACHED_PROMPTS));
            scenes.insert(scene, told);
        }
        if !is_changed {
            self.weights.release(&self.gpu, &plans)?;
        }
        Ok(scenes)
    }

    /// All that the states of a scene's texts depend on.
    fn text_key(&self, job: &Request<'_>, scene: (usize, usize)) -> String {
        let Request { recipe, shape, script, .. } = job;
        let adapters = job.chosen.iter().filter(|(loaded, _)| loaded.changes_text());
        let adapters: Vec<_> = adapters.map(|(loaded, strength)| (&loaded.id, strength)).collect();
        let embeddings: Vec<_> = recipe.embeddings.iter().map(|choice| &choice.sha256).collect();
        format!(
            "{:?} {:?} {shape:?} {adapters:?} {embeddings:?} {:?}",
            script.texts(scene),
            recipe.syntax,
            script.words
        )
    }

    /// Takes the noise away, call by call. Latents change only when a call is over, so that after an
    /// error it can be made again.
    async fn denoise(
        &self,
        job: &Request<'_>,
        latents: &mut Latents,
        scenes: &SegmentConditioning,
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        let Some(runners) = &self.runners else { unreachable!("prepare made them") };
        let Request { recipe, shape, .. } = job;
        if latents.now.is_none() {
            let clean = match &job.start {
                Start::Noise => None,
                Start::Picture { pixels, .. } => Some(self.encode(pixels, *shape, &latents.posterior, report).await?),
                Start::Pixels { pixels, .. } => Some(self.encode(pixels, *shape, &latents.posterior, report).await?),
                Start::Latents { clean, .. } => Some(clean.clone()),
            };
            latents.start(clean);
        }
        let copies = if shape.guided { 2 } else { 1 };
        let calls = latents.sampler.timesteps().len();
        let time_width = self.model.networks.unet.config.block_out_channels[0];
        while latents.call < calls {
            let (call, first) = (latents.call, latents.first);
            report(Stage::Denoise, call - first, calls - first, latents.preview.as_ref())?;
            let scene = job.script.segment_at(call);
            if latents.bound_segment != Some(scene) {
                let told = &scenes[&scene];
                runners.texts.set(&self.gpu, "text", &told.states)?;
                if let Some(added) = &told.added {
                    runners.texts.set(&self.gpu, "added", added)?;
                }
                runners.texts.run(&self.gpu);
                latents.bound_segment = Some(scene);
            }
            let input = latents.input();
            runners.unet.set(&self.gpu, "sample", &input.repeat(copies))?;
            let time = timestep_embedding(latents.sampler.timesteps()[call], time_width);
            runners.unet.set(&self.gpu, "time", &time.repeat(copies * shape.pictures))?;
            if let Some(width) = self.model.networks.unet.config.time_cond_proj_dim {
                let told = guidance_embedding(recipe.guidance, width);
                runners.unet.set(&self.gpu, "guidance", &told.repeat(copies * shape.pictures))?;
            }
            let go_on = &mut || report(Stage::Denoise, call - first, calls - first, latents.preview.as_ref());
            let mut predicted = runners.unet.compute_while(&self.gpu, "noise", go_on).await?;
            if predicted.iter().any(|value| !value.is_finite()) {
                if runners.unet.uses_f16_math {
                    return Err(PipelineError::BeyondHalves);
                }
                return Err(self
                    .not_finite(&[&runners.texts, &runners.unet], "UNet", Some((call + 1, calls)), job)
                    .await?);
            }
            if shape.guided {
                let conditional = predicted.split_off(input.len());
                for (without, with) in predicted.iter_mut().zip(conditional) {
                    *without += recipe.guidance * (with - *without);
                }
            }
            if let Some(previewer) = self.previewer.as_ref().filter(|_| job.preview) {
                let clean = latents.clean(&predicted);
                latents.preview =
                    Some(previewer.show(&clean[..clean.len() / shape.pictures], shape.height, shape.width));
            }
            latents.step(&predicted);
        }
        Ok(())
    }

    /// The states of a scene's texts, for the UNet.
    async fn encode_prompts(
        &self,
        runners: &[Runner],
        job: &Request<'_>,
        scene: (usize, usize),
        report: Report<'_>,
    ) -> Result<Conditioning, PipelineError> {
        let Request { shape, script, .. } = job;
        let (negative, prompt) = script.texts(scene);
        let mut prompts = vec![Some(prompt); shape.pictures];
        if shape.guided {
            prompts.splice(0..0, vec![negative; shape.pictures]);
        }
        let told = self.condition(runners, job, &prompts, report).await?;
        if told.states.iter().any(|value| !value.is_finite())
            && let Some(last) = runners.last()
        {
            return Err(self.not_finite(&[last], "text encoder", None, job).await?);
        }
        Ok(told)
    }

    /// Pictures' latents: a sample of what the encoder says, or its mean where there is no noise. A
    /// single picture is repeated for each of the batch.
    async fn encode(
        &self,
        pictures: &[f32],
        shape: Shape,
        posterior: &[f32],
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let Some(encoder) = self.runners.as_ref().and_then(|runners| runners.encoder.as_ref()) else {
            unreachable!("prepare made it")
        };
        let config = &self.model.vae.config;
        let (channels, scale) = (config.latent_channels, config.scaling_factor);
        let each = shape.height * shape.width * channels;
        let mut moments = Vec::new();
        for picture in pictures.chunks_exact(encoder.len("image").map_or(pictures.len(), host_len)) {
            encoder.set(&self.gpu, "image", picture)?;
            let go_on = &mut || report(Stage::Denoise, 0, 1, None);
            moments.push(encoder.compute_while(&self.gpu, "moments", go_on).await?);
        }
        let sample = |index: usize| {
            let moments = &moments[index / each % moments.len()];
            let at = index % each / channels * 2 * channels + index % channels;
            let noise = posterior.get(index).copied().unwrap_or(0.0);
            let deviation = (0.5 * moments[at + channels].clamp(-30.0, 20.0)).exp();
            (moments[at] + deviation * noise) * scale
        };
        Ok((0..each * shape.pictures).map(sample).collect())
    }

    /// The latents' colours, picture by picture.
    async fn decode(&self, latents: &[f32], pictures: usize, report: Report<'_>) -> Result<Vec<f32>, PipelineError> {
        let Some(runners) = &self.runners else { unreachable!("prepare made them") };
        let mut image = Vec::new();
        for (index, latent) in latents.chunks_exact(latents.len() / pictures).enumerate() {
            let go_on = &mut || report(Stage::Decode, index, pictures, None);
            let colours = self.decode_one(&runners.decoder, latent, go_on).await?;
            if colours.iter().any(|value| !value.is_finite()) {
                let layer = runners.decoder.find_non_finite(&self.gpu).await?;
                let hint = "give another VAE; this model's may be damaged".into();
                return Err(PipelineError::NotFinite { when: "decoding".into(), network: "VAE", layer, hint });
            }
            image.extend(colours);
            report(Stage::Decode, index + 1, pictures, None)?;
        }
        Ok(image)
    }

    /// One latent's colours by a decoder of its size.
    pub(super) async fn decode_one(
        &self,
        decoder: &Runner,
        latent: &[f32],
        go_on: &mut dyn FnMut() -> Result<(), PipelineError>,
    ) -> Result<Vec<f32>, PipelineError> {
        let scale = self.model.vae.config.scaling_factor;
        let scaled: Vec<f32> = latent.iter().map(|value| value / scale).collect();
        decoder.set(&self.gpu, "latents", &scaled)?;
        decoder.compute_while(&self.gpu, "image", go_on).await
    }

    /// Names the layer where a network's numbers broke, and what to do.
    async fn not_finite(
        &self,
        runners: &[&Runner],
        network: &'static str,
        step: Option<(usize, usize)>,
        job: &Request<'_>,
    ) -> Result<PipelineError, PipelineError> {
        let mut layer = None;
        for runner in runners {
            if layer.is_none() {
                layer = runner.find_non_finite(&self.gpu).await?;
            }
        }
        let when = step.map_or("reading the prompt".into(), |(step, steps)| format!("step {step} of {steps}"));
        let hint = match job.chosen.is_empty() {
            true => "the model's weights may be damaged: download it again, or take its f32 file",
            false => "try a lower LoRA strength, or the picture without LoRAs",
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

/// Sines, then cosines, of 1000 (guidance - 1) at `width / 2` frequencies from 1 to 1/10000
/// (diffusers' `get_guidance_scale_embedding`).
fn guidance_embedding(guidance: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let place = 1000.0 * f64::from(guidance - 1.0);
    let angle = |i: usize| place * (-(10_000f64.ln()) * i as f64 / (half as f64 - 1.0)).exp();
    let sines = (0..half).map(|i| to_f32(angle(i).sin()));
    sines.chain((0..half).map(|i| to_f32(angle(i).cos()))).collect()
}
