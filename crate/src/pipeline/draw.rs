//! One sampling pass: prompt encoding, the denoising loop and VAE decoding.

use super::encode_prompts::EncodedPrompts;
use super::error::PipelineError;
use super::half::Input;
use super::latents::Latents;
use super::plans::Runners;
use super::progress::{Report, Stage};
use super::request::{Request, Start};
use super::run_denoiser::RunContext;
use super::session::Session;
use crate::model::Component;
use crate::samplers::Outputs;
use crate::sentence::sentence;
use crate::weights::{FoldTarget, LoadedAdapter, Strength, check_folds};

impl Session {
    /// Runs what remains of a pass and returns its pixels (B, H, W, 3), or nothing without `needs_pixels`.
    pub(super) async fn run_pass(
        &mut self,
        request: &Request<'_>,
        latents: &mut Latents,
        needs_pixels: bool,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let strengths = request.strengths(latents.relative_call(), latents.calls());
        let partner = self.prepare_partner(request.shape, &strengths);
        let prompts = self.encode_all_prompts(request, latents, report).await?;
        let runners = self.prepare(request.shape, report).await?;
        self.apply_adapters(request, latents, &[Component::Unet], report).await?;
        if request.preview && self.previewer.is_none() {
            self.previewer = Some(self.make_previewer().await?);
        }
        if let Some(prepared) = partner {
            prepared.await.map_err(PipelineError::of_partner)?;
        }
        self.denoise(&runners, request, latents, &prompts, report).await?;
        if !needs_pixels {
            return Ok(Vec::new());
        }
        report(Stage::Decode, 0, request.shape.images, None)?;
        let latents = latents.current.as_deref().unwrap_or_default();
        self.decode(&runners.decoder, latents, request.shape.images, report).await
    }

    /// Folds the adapters into the weights of these components, with their strengths at the next call; see
    /// [`Session::fold`].
    pub(super) async fn apply_adapters(
        &mut self,
        request: &Request<'_>,
        latents: &Latents,
        components: &[Component],
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        report(Stage::Adapters, 0, request.chosen.len(), None)?;
        let strengths = request.strengths(latents.relative_call(), latents.calls());
        self.fold(&strengths, components, report).await
    }

    /// Folds adapters with these strengths into the weights of these components; into all weights if memory is not
    /// saved.
    pub(super) async fn fold(
        &mut self,
        adapters: &[(&LoadedAdapter, Strength)],
        components: &[Component],
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        let checkpoint = &self.model.checkpoint;
        if !self.config.saves_memory() {
            return Ok(self.weights.apply(&self.device, &self.config, checkpoint, adapters, None).await?);
        }
        if self.config.streams_denoiser() && components.contains(&Component::Unet) {
            // Each call folds them into the weights that it reads.
            let adapters: Vec<&LoadedAdapter> = adapters.iter().map(|(adapter, _)| *adapter).collect();
            return Ok(check_folds(checkpoint, &adapters)?);
        }
        let arena = self.runners.as_deref().map(|runners| &runners.arena);
        let target = FoldTarget { device: &self.device, config: &self.config, checkpoint, arena };
        let mut on_tensor = |done: usize, all: usize| report(Stage::Adapters, done, all, None);
        self.weights.apply_streamed(&target, adapters, components, &mut on_tensor).await
    }

    /// Runs the denoising loop. Latents change only when a call is complete, so that a failed call can be
    /// repeated.
    async fn denoise(
        &mut self,
        runners: &Runners,
        request: &Request<'_>,
        latents: &mut Latents,
        prompts: &EncodedPrompts,
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        let Request { recipe, shape, .. } = request;
        if latents.current.is_none() {
            let clean = match &request.start {
                Start::Noise => None,
                Start::Image { .. } if latents.starts_from_noise() => None,
                Start::Latents { clean, .. } => Some(clean.clone()),
                Start::Image { pixels, .. } => {
                    Some(self.encode(runners, pixels, *shape, &latents.posterior, report).await?)
                }
                Start::Pixels { pixels, .. } => {
                    Some(self.encode(runners, pixels, *shape, &latents.posterior, report).await?)
                }
            };
            latents.start(clean);
        }
        if self.model.spec.latents().reads_masked_image {
            self.set_masked_image(runners, request, latents, report).await?;
        }
        let copies = shape.items() / shape.images;
        let mut strengths = request.strengths(latents.relative_call(), latents.calls());
        let mut texts: Vec<Input> = Vec::new();
        while !latents.is_done() {
            let (call, first) = (latents.next_call, latents.first_call);
            let calls = latents.sampler.timesteps().len();
            report(Stage::Denoise, call - first, calls - first, latents.preview.as_ref())?;
            let changed = request.strengths(call - first, calls - first);
            if changed.iter().map(|(_, strength)| strength).ne(strengths.iter().map(|(_, strength)| strength)) {
                self.fold(&changed, &[Component::Unet], report).await?;
                strengths = changed;
                // Keys and values of the text depend on the weights.
                latents.bound_segment = None;
            }
            let preview = latents.preview.clone();
            let on_progress = &mut || report(Stage::Denoise, call - first, calls - first, preview.as_ref());
            let segment = request.script.segment_at(call - first);
            if latents.bound_segment.as_ref() != Some(&segment) {
                let items = prompts.items(request, &segment);
                let inputs = self.model.spec.conditioning(shape, &items).inputs;
                texts = inputs.into_iter().map(|(name, values)| (name.into(), values)).collect();
                for (name, values) in &texts {
                    runners.texts.set(name, runners.own(values))?;
                }
                let context = RunContext { runners, adapters: &strengths, on_progress };
                self.run(&runners.texts, context).await?;
                latents.bound_segment = Some(segment);
            }
            let input = latents.input();
            let timestep = latents.sampler.timesteps()[call];
            let inputs = self.model.spec.call_inputs(timestep, recipe.guidance).into_iter();
            let mut inputs: Vec<Input> = inputs.map(|(name, item)| (name.into(), item.repeat(shape.items()))).collect();
            inputs.push(("sample".into(), latents.sample(&input, shape.images).repeat(copies)));
            let context = RunContext { runners, adapters: &strengths, on_progress };
            let predictions = self.predict(&texts, &inputs, context).await?;
            if predictions.iter().any(|value| !value.is_finite()) {
                if runners.denoiser.uses_f16_math() {
                    return Err(PipelineError::F16Overflow);
                }
                let context = RunContext { runners, adapters: &strengths, on_progress };
                let layer = self.first_non_finite(context).await?;
                return Err(request.not_finite(layer, sentence!("image.unet"), Some((call + 1, calls))));
            }
            let is_guided = latents.is_guided(recipe);
            let predicted = request.guidance.combine(&predictions, input.len(), shape.images, is_guided);
            if let Some(previewer) = self.previewer.as_ref().filter(|_| request.preview) {
                let clean = latents.predicted_x0(&predicted);
                latents.preview = Some(previewer.show(&clean[..clean.len() / shape.images], shape.height, shape.width));
            }
            let negative = if request.guidance.needs_negative() { &predictions[..input.len()] } else { &predicted };
            latents.step(Outputs { guided: &predicted, negative });
        }
        Ok(())
    }

    /// Finds the first layer of both parts of the denoiser whose output contains NaN or infinity; not among a partner's.
    async fn first_non_finite(&mut self, context: RunContext<'_>) -> Result<Option<String>, PipelineError> {
        let RunContext { runners, adapters, on_progress } = context;
        for denoiser in [&runners.texts, &runners.denoiser] {
            let context = RunContext { runners, adapters, on_progress };
            let found = self.find_non_finite(denoiser, context).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Encodes the masked image for an inpainting model: gray without a mask, as if all of it were masked.
    async fn set_masked_image(
        &self,
        runners: &Runners,
        request: &Request<'_>,
        latents: &mut Latents,
        report: Report<'_>,
    ) -> Result<(), PipelineError> {
        let (mask, shape) = (request.start.mask(), request.shape);
        let multiple = self.model.size_multiple();
        let gray = || vec![0.0; shape.height * shape.width * multiple * multiple * 3];
        let kept = mask.map_or_else(gray, |mask| mask.kept.clone());
        let encoded = self.encode(runners, &kept, shape, &latents.masked_posterior, report).await?;
        latents.set_masked(mask.map(|mask| mask.latents.as_slice()), &encoded, shape.images);
        Ok(())
    }
}
