//! Turns a recipe into a picture, step by step, on a device that keeps weights and plans between
//! pictures.

use super::error::PipelineError;
use super::image::to_rgb8;
use super::latents::Latents;
use super::model::Model;
use super::recipe::Recipe;
use super::runners::{Runners, Shape};
use super::script::Script;
use crate::adapters::Delta;
use crate::gpu::Gpu;
use crate::samplers::{Sampler, SamplerKind, SamplerOptions};
use crate::weights::{LoadedAdapter, Strength, Weights};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
use ts_rs::TS;

/// Go on, or stop at the next step.
pub type Control = ControlFlow<()>;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Weights go to graphics memory.
    Load,
    /// The prompt becomes text states.
    Text,
    /// Adapters are folded into the weights.
    Adapters,
    /// The latent loses its noise.
    Denoise,
    /// The latent becomes pixels.
    Decode,
}

/// How far a picture is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub stage: Stage,
    /// Parts of the stage that are done.
    pub step: usize,
    /// Parts of the stage.
    pub steps: usize,
}

/// Seconds left of denoising after `step` of `steps` calls in `elapsed` seconds.
pub fn denoise_seconds_left(elapsed: f64, step: usize, steps: usize) -> Option<f64> {
    (step > 0).then(|| elapsed / step as f64 * (steps - step.min(steps)) as f64)
}

/// What an adapter did to the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Applied {
    /// The file's name.
    pub name: String,
    /// Layers that changed.
    pub matched: usize,
    /// Keys that name nothing in this model.
    pub leftovers: usize,
}

/// A finished picture, or a batch of them.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 8-bit colours, row by row, picture by picture.
    pub rgb: Vec<u8>,
    /// The decoder's output, (B, H, W, 3).
    pub image: Vec<f32>,
    /// The last latents, (B, h, w, 4), before division by the scaling factor.
    pub latents: Vec<f32>,
    /// What each adapter did.
    pub applied: Vec<Applied>,
}

/// Losses of the device that a picture survives.
const MAX_LOSSES: usize = 3;

/// A picture to be drawn.
pub(super) struct Job<'a> {
    pub(super) recipe: &'a Recipe,
    script: Script,
    chosen: Vec<(&'a LoadedAdapter, Strength)>,
    pub(super) init: Option<(&'a [f32], f64)>,
    pub(super) shape: Shape,
}

/// A device, a model and everything that stays between pictures.
pub struct Session {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// The model.
    pub model: Model,
    pub(super) weights: Weights,
    pub(super) runners: Option<Runners>,
}

/// Hears of each part of the work and may stop it.
pub(super) type Report<'a> = &'a mut dyn FnMut(Stage, usize, usize) -> Result<(), PipelineError>;

impl Session {
    /// A session that has loaded nothing yet.
    pub fn new(gpu: Rc<Gpu>, model: Model) -> Session {
        Session { gpu, model, weights: Weights::default(), runners: None }
    }

    /// Draws the recipe's picture. `adapters` are found by their sha256; `init` is the picture to
    /// start from, (H, W, 3) from -1 to 1, where the recipe has a `denoise`. `progress` hears of
    /// each part and may stop the work, which it does before the next part.
    pub async fn generate(
        &mut self,
        recipe: &Recipe,
        adapters: &[&LoadedAdapter],
        init: Option<&[f32]>,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<Picture, PipelineError> {
        let multiple = self.model.multiple();
        recipe.check(multiple)?;
        let kind: SamplerKind = recipe.sampler.parse()?;
        let options = SamplerOptions { eta: None, sigma_spacing: recipe.schedule, timestep_spacing: recipe.spacing };
        let sampler = Sampler::new(kind, &self.model.schedule, recipe.steps, &options)?;
        let calls = sampler.timesteps().len();
        let script = Script::of(recipe, if calls > recipe.steps { 2 * recipe.steps } else { recipe.steps })?;
        let chosen = choose(recipe, &script, adapters)?;
        let init = starting_picture(recipe, init)?;
        let shape = Shape {
            pictures: recipe.batch,
            guided: recipe.guidance != 1.0,
            height: recipe.height / multiple,
            width: recipe.width / multiple,
            chunks: self.model.tokenizers.iter().map(|tokenizer| script.longest(tokenizer)).max().unwrap_or(1),
            clip_skip: recipe.clip_skip,
            starts_from_picture: init.is_some(),
        };
        let report: Report = &mut |stage, step, steps| match progress(Progress { stage, step, steps }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };
        let job = Job { recipe, script, chosen, init, shape };
        let mut latents = Latents::new(&job, sampler, self.model.vae.config.latent_channels);

        let mut losses = 0;
        let image = loop {
            match self.draw(&job, &mut latents, report).await {
                // The device comes back, and the picture goes on from its last latents.
                Err(error) if error.is_lost_device() && losses < MAX_LOSSES => {
                    losses += 1;
                    self.revive().await?;
                    latents.told = None;
                }
                other => break other?,
            }
        };
        let applied = job.chosen.iter().map(|(loaded, _)| Applied {
            name: loaded.file.name.clone(),
            matched: loaded.adapter.deltas.iter().map(Delta::path).collect::<BTreeSet<_>>().len(),
            leftovers: loaded.adapter.leftovers.len(),
        });
        Ok(Picture {
            width: recipe.width,
            height: recipe.height,
            rgb: to_rgb8(&image),
            image,
            applied: applied.collect(),
            latents: latents.now.unwrap_or_default(),
        })
    }

    /// Opens the device anew after a loss. All that was in its memory is gone and comes again.
    async fn revive(&mut self) -> Result<(), PipelineError> {
        let gpu = Gpu::open().await?;
        gpu.set_style(self.gpu.style());
        gpu.set_keeps_halves(self.gpu.keeps_halves());
        self.runners = None;
        self.weights = Weights::default();
        self.gpu = Rc::new(gpu);
        Ok(())
    }

    /// Does what is left of a picture and returns its colours.
    async fn draw(
        &mut self,
        job: &Job<'_>,
        latents: &mut Latents,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        self.prepare(job.shape, report).await?;
        report(Stage::Adapters, 0, job.chosen.len())?;
        self.weights.apply(&self.gpu, &self.model.checkpoint, &job.chosen).await?;
        report(Stage::Text, 0, 1)?;
        let Some(runners) = &self.runners else { unreachable!("prepare made them") };
        let done = self.denoise(runners, job, latents, report).await?;
        report(Stage::Decode, 0, job.shape.pictures)?;
        self.decode(runners, done, job.shape.pictures, report).await
    }

    /// Takes the noise away, call by call, and returns the last latents. Latents change only when
    /// a call is over, so that after an error it can be made again.
    async fn denoise<'a>(
        &self,
        runners: &Runners,
        job: &Job<'_>,
        latents: &'a mut Latents,
        report: Report<'_>,
    ) -> Result<&'a [f32], PipelineError> {
        let Job { recipe, shape, .. } = job;
        if latents.now.is_none() {
            let clean = match job.init {
                Some((picture, _)) => Some(self.encode(runners, picture, *shape, &latents.posterior).await?),
                None => None,
            };
            latents.start(clean);
        }
        let copies = if shape.guided { 2 } else { 1 };
        let calls = latents.sampler.timesteps().len();
        let time_width = self.model.networks.unet.config.block_out_channels[0];
        while latents.call < calls {
            let (call, first) = (latents.call, latents.first);
            report(Stage::Denoise, call - first, calls - first)?;
            let scene = job.script.scene(call);
            if latents.told != Some(scene) {
                self.tell(runners, job, scene).await?;
                latents.told = Some(scene);
            }
            let input = latents.input();
            runners.unet.set(&self.gpu, "sample", &input.repeat(copies))?;
            let time = sinusoid(latents.sampler.timesteps()[call], time_width);
            runners.unet.set(&self.gpu, "time", &time.repeat(copies * shape.pictures))?;
            let mut predicted = runners.unet.compute(&self.gpu, "noise").await?;
            if predicted.iter().any(|value| !value.is_finite()) {
                let hint = match job.chosen.is_empty() {
                    true => "; the model's weights may be damaged",
                    false => "; try a lower LoRA strength",
                };
                return Err(PipelineError::NotFinite { step: call + 1, steps: calls, hint: hint.into() });
            }
            if shape.guided {
                let conditional = predicted.split_off(input.len());
                for (without, with) in predicted.iter_mut().zip(conditional) {
                    *without += recipe.guidance * (with - *without);
                }
            }
            latents.step(&predicted);
        }
        Ok(latents.now.as_deref().unwrap_or_default())
    }

    /// Tells the UNet of the texts of a scene.
    async fn tell(&self, runners: &Runners, job: &Job<'_>, scene: (usize, usize)) -> Result<(), PipelineError> {
        let Job { recipe, shape, script, .. } = job;
        let (negative, prompt) = script.texts(scene);
        let mut prompts = vec![Some(prompt); shape.pictures];
        if shape.guided {
            prompts.splice(0..0, vec![negative; shape.pictures]);
        }
        let size = (recipe.height, recipe.width);
        let told = self.condition(&runners.text, script, &prompts, shape.chunks, size).await?;
        runners.unet.set(&self.gpu, "text", &told.states)?;
        if let Some(added) = &told.added {
            runners.unet.set(&self.gpu, "added", added)?;
        }
        Ok(())
    }

    /// The picture's latents: a sample of what the encoder says, repeated for each of the batch.
    async fn encode(
        &self,
        runners: &Runners,
        picture: &[f32],
        shape: Shape,
        posterior: &[f32],
    ) -> Result<Vec<f32>, PipelineError> {
        let Some(encoder) = &runners.encoder else { unreachable!("prepare made it") };
        encoder.set(&self.gpu, "image", picture)?;
        let moments = encoder.compute(&self.gpu, "moments").await?;
        let config = &self.model.vae.config;
        let (channels, scale) = (config.latent_channels, config.scaling_factor);
        let pixels = shape.height * shape.width;
        let sample = |(index, noise): (usize, &f32)| {
            let pixel = index / channels % pixels;
            let at = pixel * 2 * channels + index % channels;
            let deviation = (0.5 * moments[at + channels].clamp(-30.0, 20.0)).exp();
            (moments[at] + deviation * noise) * scale
        };
        Ok(posterior.iter().enumerate().map(sample).collect())
    }

    /// The latents' colours, picture by picture.
    async fn decode(
        &self,
        runners: &Runners,
        latents: &[f32],
        pictures: usize,
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let scale = self.model.vae.config.scaling_factor;
        let mut image = Vec::new();
        for (index, latent) in latents.chunks_exact(latents.len() / pictures).enumerate() {
            let scaled: Vec<f32> = latent.iter().map(|value| value / scale).collect();
            runners.decoder.set(&self.gpu, "latents", &scaled)?;
            image.extend(runners.decoder.compute(&self.gpu, "image").await?);
            report(Stage::Decode, index + 1, pictures)?;
        }
        Ok(image)
    }
}

/// The recipe's adapters and those that its prompt mentions, among those that are loaded.
fn choose<'a>(
    recipe: &Recipe,
    script: &Script,
    adapters: &[&'a LoadedAdapter],
) -> Result<Vec<(&'a LoadedAdapter, Strength)>, PipelineError> {
    let missing = |name: &str, sha256: &str| PipelineError::NoAdapter { name: name.into(), sha256: sha256.into() };
    let mut chosen = Vec::new();
    for choice in &recipe.adapters {
        let found = adapters.iter().find(|adapter| adapter.id == choice.sha256);
        let text = choice.text_encoder.unwrap_or(choice.strength);
        let strength = Strength { unet: choice.strength, text };
        chosen.push((*found.ok_or_else(|| missing(&choice.name, &choice.sha256))?, strength));
    }
    for mention in &script.mentions {
        let is_named = |adapter: &&&LoadedAdapter| {
            let file = &adapter.file.name;
            *file == mention.name || file.rsplit_once('.').is_some_and(|(stem, _)| stem == mention.name)
        };
        let found = adapters.iter().find(is_named).ok_or_else(|| missing(&mention.name, "unknown"))?;
        let strength = Strength { unet: mention.unet, text: mention.text_encoder };
        match chosen.iter_mut().find(|(adapter, _)| adapter.id == found.id) {
            Some((_, chosen)) => *chosen = strength,
            None => chosen.push((*found, strength)),
        }
    }
    Ok(chosen)
}

/// The picture to start from and how far to go from it, which come together or not at all.
fn starting_picture<'a>(recipe: &Recipe, init: Option<&'a [f32]>) -> Result<Option<(&'a [f32], f64)>, PipelineError> {
    let bad = |found: String, wanted: &str| PipelineError::Recipe {
        what: "the picture to start from",
        found,
        wanted: wanted.into(),
    };
    match (init, recipe.denoise) {
        (None, None) => Ok(None),
        (Some(picture), Some(denoise)) => match picture.len() == recipe.width * recipe.height * 3 {
            true => Ok(Some((picture, denoise))),
            false => Err(bad(format!("{} numbers", picture.len()), "it must have the size of the result")),
        },
        (None, Some(_)) => Err(bad("missing".into(), "the recipe has a denoising strength, so give its picture")),
        (Some(_), None) => Err(bad("given".into(), "also give the denoising strength, 0 to 1")),
    }
}

/// Cosines, then sines, of the timestep at `width / 2` frequencies from 1 down to 1/10000
/// (diffusers' `get_timestep_embedding` with flip_sin_to_cos and freq_shift 0).
pub fn sinusoid(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| f64::from(timestep) * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
    let cosines = (0..half).map(|i| angle(i).cos() as f32);
    cosines.chain((0..half).map(|i| angle(i).sin() as f32)).collect()
}
