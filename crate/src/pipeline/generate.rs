//! Turns a recipe into a picture, step by step, on a device that keeps weights and plans between
//! pictures.

use super::error::PipelineError;
use super::image::to_rgb8;
use super::model::Model;
use super::recipe::Recipe;
use crate::adapters::Delta;
use crate::gpu::{Gpu, Runner};
use crate::plan::{self, Plan, TextOutput};
use crate::samplers::{Sampler, SamplerKind, SamplerOptions, TorchNoise};
use crate::weights::{LoadedAdapter, Weights};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
use ts_rs::TS;

/// Go on, or stop at the next step.
pub type Control = ControlFlow<()>;

/// Name of the token table, which is read row by row and never goes to graphics memory.
pub const TOKEN_TABLE: &str = "text_encoder.text_model.embeddings.token_embedding.weight";

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

/// A finished picture.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// 8-bit colours, row by row.
    pub rgb: Vec<u8>,
    /// The decoder's output, (H, W, 3).
    pub image: Vec<f32>,
    /// The last latent, (h, w, 4), before division by the scaling factor.
    pub latents: Vec<f32>,
    /// What each adapter did.
    pub applied: Vec<Applied>,
}

/// Plans of one size and batch, with their buffers.
struct Runners {
    key: (usize, usize, usize),
    text: Runner,
    unet: Runner,
    vae: Runner,
}

/// A device, a model and everything that stays between pictures.
pub struct Session {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// The model.
    pub model: Model,
    pub(super) weights: Weights,
    runners: Option<Runners>,
}

impl Session {
    /// A session that has loaded nothing yet.
    pub fn new(gpu: Rc<Gpu>, model: Model) -> Session {
        Session { gpu, model, weights: Weights::default(), runners: None }
    }

    /// Draws the recipe's picture. `adapters` are found by their sha256. `progress` hears of each
    /// part and may stop the work, which it does before the next part.
    pub async fn generate(
        &mut self,
        recipe: &Recipe,
        adapters: &[&LoadedAdapter],
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<Picture, PipelineError> {
        let multiple = self.model.multiple();
        recipe.check(multiple)?;
        let kind: SamplerKind = recipe.sampler.parse()?;
        let mut sampler = Sampler::new(kind, &self.model.schedule, recipe.steps, &SamplerOptions::default())?;
        let mut chosen = Vec::new();
        for choice in &recipe.adapters {
            let found = adapters.iter().find(|adapter| adapter.id == choice.sha256);
            let missing = || PipelineError::NoAdapter { name: choice.name.clone(), sha256: choice.sha256.clone() };
            chosen.push((*found.ok_or_else(missing)?, choice.strength));
        }
        let guided = recipe.guidance != 1.0;
        let batch = if guided { 2 } else { 1 };
        let (height, width) = (recipe.height / multiple, recipe.width / multiple);
        let mut report = |stage, step, steps| match progress(Progress { stage, step, steps }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };

        self.prepare(batch, height, width, &mut report).await?;
        report(Stage::Adapters, 0, chosen.len())?;
        let applied = self.apply(&chosen).await?;
        report(Stage::Text, 0, 1)?;
        let prompts: &[&str] = if guided { &[&recipe.negative, &recipe.prompt] } else { &[&recipe.prompt] };
        let states = self.text_states(prompts).await?;
        let Some(runners) = &self.runners else { unreachable!("prepare made them") };
        runners.unet.set(&self.gpu, "text", &states)?;

        let channels = self.model.vae.config.latent_channels;
        let mut generator = TorchNoise::new(recipe.seed);
        let mut noise = move || channels_last(&generator.randn(channels * height * width), channels);
        let start = sampler.init_noise_sigma();
        let mut latents: Vec<f32> = noise().into_iter().map(|value| value * start).collect();
        let calls = sampler.timesteps().len();
        let time_width = self.model.networks.unet.config.block_out_channels[0];
        for call in 0..calls {
            report(Stage::Denoise, call, calls)?;
            let input = sampler.scale_input(call, &latents);
            runners.unet.set(&self.gpu, "sample", &input.repeat(batch))?;
            let time = sinusoid(sampler.timesteps()[call], time_width);
            runners.unet.set(&self.gpu, "time", &time.repeat(batch))?;
            let mut predicted = runners.unet.compute(&self.gpu, "noise").await?;
            if predicted.iter().any(|value| !value.is_finite()) {
                let hint = match chosen.is_empty() {
                    true => "; the model's weights may be damaged".into(),
                    false => "; try a lower LoRA strength".to_owned(),
                };
                return Err(PipelineError::NotFinite { step: call + 1, steps: calls, hint });
            }
            if guided {
                let conditional = predicted.split_off(latents.len());
                for (without, with) in predicted.iter_mut().zip(conditional) {
                    *without += recipe.guidance * (with - *without);
                }
            }
            latents = sampler.step(call, &predicted, &latents, &mut |_| noise());
        }
        report(Stage::Decode, 0, 1)?;
        let scale = self.model.vae.config.scaling_factor;
        let scaled: Vec<f32> = latents.iter().map(|value| value / scale).collect();
        runners.vae.set(&self.gpu, "latents", &scaled)?;
        let image = runners.vae.compute(&self.gpu, "image").await?;
        report(Stage::Decode, 1, 1)?;
        Ok(Picture { width: recipe.width, height: recipe.height, rgb: to_rgb8(&image), image, latents, applied })
    }

    /// Plans and weights for this batch and latent size; what is there is kept.
    async fn prepare(
        &mut self,
        batch: usize,
        height: usize,
        width: usize,
        report: &mut dyn FnMut(Stage, usize, usize) -> Result<(), PipelineError>,
    ) -> Result<(), PipelineError> {
        let key = (batch, height, width);
        if self.runners.as_ref().is_some_and(|runners| runners.key == key) {
            return Ok(());
        }
        // Buffers of the old size go before those of the new size come.
        self.runners = None;
        let networks = &self.model.networks;
        let tokens = self.model.tokenizer.model_max_length();
        let plans: [Plan; 3] = [
            plan::text_encoder(&networks.text_encoder, "text_encoder", batch, tokens, TextOutput::Last)?,
            plan::unet(&networks.unet, batch, height, width, tokens)?,
            plan::vae_decoder(&self.model.vae, 1, height, width)?,
        ];
        let missing: Vec<_> = plans.iter().flat_map(|plan| self.weights.missing(plan)).collect();
        for (index, (name, layout)) in missing.iter().enumerate() {
            report(Stage::Load, index, missing.len())?;
            self.weights.load(&self.gpu, &self.model.checkpoint, name, *layout).await?;
        }
        let resident = |name: &str| self.weights.get(name);
        self.runners = Some(Runners {
            key,
            text: Runner::new(&self.gpu, &plans[0], &resident).await?,
            unet: Runner::new(&self.gpu, &plans[1], &resident).await?,
            vae: Runner::new(&self.gpu, &plans[2], &resident).await?,
        });
        Ok(())
    }

    /// Folds the adapters in; those at strength 0 are left out, so that they cost and change nothing.
    async fn apply(&mut self, chosen: &[(&LoadedAdapter, f32)]) -> Result<Vec<Applied>, PipelineError> {
        self.weights.apply(&self.gpu, &self.model.checkpoint, chosen).await?;
        let applied = chosen.iter().map(|(loaded, _)| Applied {
            name: loaded.file.name.clone(),
            matched: loaded.adapter.deltas.iter().map(Delta::path).collect::<BTreeSet<_>>().len(),
            leftovers: loaded.adapter.leftovers.len(),
        });
        Ok(applied.collect())
    }

    /// Text states of each prompt, one after the other.
    async fn text_states(&self, prompts: &[&str]) -> Result<Vec<f32>, PipelineError> {
        let ids: Vec<u32> = prompts.iter().flat_map(|prompt| self.model.tokenizer.encode_padded(prompt)).collect();
        let tokens = self.model.checkpoint.rows(TOKEN_TABLE, &ids).await?;
        let Some(runners) = &self.runners else { unreachable!("prepare made them") };
        runners.text.set(&self.gpu, "tokens", &tokens)?;
        Ok(runners.text.compute(&self.gpu, "states").await?)
    }
}

/// (C, P) to (P, C): PyTorch draws noise channel by channel.
fn channels_last(data: &[f32], channels: usize) -> Vec<f32> {
    let pixels = data.len() / channels;
    (0..data.len()).map(|i| data[i % channels * pixels + i / channels]).collect()
}

/// Cosines, then sines, of the timestep at `width / 2` frequencies from 1 down to 1/10000
/// (diffusers' `get_timestep_embedding` with flip_sin_to_cos and freq_shift 0).
pub fn sinusoid(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| f64::from(timestep) * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
    let cosines = (0..half).map(|i| angle(i).cos() as f32);
    cosines.chain((0..half).map(|i| angle(i).sin() as f32)).collect()
}
