//! Image generation from a recipe, in a session that keeps weights and plans between images.

use super::conditioning::{self, Conditioning};
use super::embedding::{Embedding, Vocabulary};
use super::error::PipelineError;
use super::image::to_rgb8;
use super::latents::Latents;
use super::model::Model;
use super::preview::{Preview, Previewer};
use super::prompt_schedule::PromptSchedule;
use super::recipe::{Recipe, Upscaler};
use super::resize::{Filter, latent_mask, resize};
use super::runners::{Runners, Shape};
use crate::adapters::{Delta, Strengths};
use crate::gpu::{Gpu, KernelConfig};
use crate::model::{Clip, Component, FamilyId};
use crate::num::to_f32;
use crate::samplers::{Sampler, SamplerKind, SamplerOptions};
use crate::text::ExtraNetwork;
use crate::weights::{LoadedAdapter, Strength, Weights};
use serde::Serialize;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::rc::Rc;
use ts_rs::TS;

/// Whether to continue, or to stop before the next step.
pub type Control = ControlFlow<()>;

/// A stage of image generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Timing kernel variants, once per device.
    Tune,
    /// Uploading weights to the GPU.
    Load,
    /// Encoding the prompt.
    Text,
    /// Folding adapters into the weights.
    Adapters,
    /// Denoising the latents.
    Denoise,
    /// Decoding the latents into pixels.
    Decode,
}

/// Progress of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Current stage.
    pub stage: Stage,
    /// Completed steps of the stage.
    pub step: usize,
    /// Total steps of the stage.
    pub steps: usize,
    /// Preview of the image, if requested and new.
    pub preview: Option<&'a Preview>,
}

/// Estimates the remaining seconds of denoising after `step` of `steps` calls in `elapsed` seconds; `None`
/// before the first.
pub fn denoise_seconds_left(elapsed: f64, step: usize, steps: usize) -> Option<f64> {
    (step > 0).then(|| elapsed / step as f64 * (steps - step.min(steps)) as f64)
}

/// Effect of an adapter on the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, TS)]
pub struct Applied {
    /// File name.
    pub name: String,
    /// Number of layers changed.
    pub matched: usize,
    /// Number of keys that match nothing in this model.
    pub leftovers: usize,
}

/// A generated image, or a batch of them.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// 8-bit RGB, (B, H, W, 3).
    pub rgb: Vec<u8>,
    /// Output of the VAE decoder, (B, H, W, 3).
    pub image: Vec<f32>,
    /// Final latents, (B, h, w, 4), before division by the scaling factor.
    pub latents: Vec<f32>,
    /// Effect of each adapter.
    pub applied: Vec<Applied>,
}

/// Maximum number of device losses that a pass recovers from.
const MAX_LOSSES: usize = 3;

/// Data that a recipe refers to but does not contain.
#[derive(Clone, Copy, Default)]
pub struct GenerateInputs<'a> {
    /// Adapters, looked up by SHA-256, or by file name for `<lora:…>`.
    pub adapters: &'a [&'a LoadedAdapter],
    /// Textual inversions, looked up by SHA-256.
    pub embeddings: &'a [&'a Embedding],
    /// Init image, (H, W, 3) from -1 to 1; required with the recipe's `denoise`.
    pub init: Option<&'a [f32]>,
    /// Inpainting mask, (H, W) from 0 to 1, required if the recipe is `masked`: 1 is regenerated.
    pub mask: Option<&'a [f32]>,
    /// Whether the progress includes previews.
    pub preview: bool,
}

/// Starting point of a pass.
pub(super) enum Start<'a> {
    /// Pure noise.
    Noise,
    /// An init image, encoded to a sample of the encoder's distribution. With a mask, only latents whose
    /// entry is true change.
    Picture { pixels: &'a [f32], denoise: f64, mask: Option<Vec<bool>> },
    /// Images of a first pass, encoded to the mean of the encoder's distribution.
    Pixels { pixels: Vec<f32>, denoise: f64 },
    /// Latents of a first pass.
    Latents { clean: Vec<f32>, denoise: f64 },
}

impl Start<'_> {
    /// Returns the denoising strength; `None` for pure noise.
    pub fn denoise(&self) -> Option<f64> {
        match self {
            Start::Noise => None,
            Start::Picture { denoise, .. } | Start::Pixels { denoise, .. } | Start::Latents { denoise, .. } => {
                Some(*denoise)
            }
        }
    }

    fn is_encoded(&self) -> bool {
        matches!(self, Start::Picture { .. } | Start::Pixels { .. })
    }
}

/// Everything that one sampling pass depends on.
pub(super) struct Request<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) script: PromptSchedule,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) chosen: &'a [(&'a LoadedAdapter, Strength)],
    pub(super) start: Start<'a>,
    pub(super) shape: Shape,
    pub(super) preview: bool,
}

/// A GPU, a model and everything that is kept between images.
pub struct Session {
    /// The GPU.
    pub gpu: Rc<Gpu>,
    /// Kernel configuration of plans that are compiled from now on.
    pub config: KernelConfig,
    /// Whether untuned kernels are tuned before the first image; clearing it also ends a tuning in progress.
    pub tuning_enabled: Rc<Cell<bool>>,
    /// The base model.
    pub model: Model,
    pub(super) weights: Weights,
    pub(super) runners: Option<Rc<Runners>>,
    pub(super) conditioning_cache: Vec<(String, Rc<Conditioning>)>,
    pub(super) previewer: Option<Previewer>,
}

/// Progress callback: an error stops the work.
pub(super) type Report<'a> = &'a mut dyn FnMut(Stage, usize, usize, Option<&Preview>) -> Result<(), PipelineError>;

impl Session {
    /// Creates a session with nothing loaded and tuning disabled.
    pub fn new(gpu: Rc<Gpu>, config: KernelConfig, model: Model) -> Session {
        Session {
            gpu,
            config,
            tuning_enabled: Rc::default(),
            model,
            weights: Weights::default(),
            runners: None,
            conditioning_cache: Vec::new(),
            previewer: None,
        }
    }

    /// Generates the recipe's image from the given inputs. `progress` is called before each part of the
    /// work and can stop it there.
    pub async fn generate(
        &mut self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<Picture, PipelineError> {
        let multiple = self.model.size_multiple();
        recipe.check(multiple)?;
        let mentions = PromptSchedule::of(recipe, recipe.steps)?.mentions;
        let chosen = choose(recipe, &mentions, given.adapters)?;
        let vocabulary = self.vocabulary(recipe, given, &chosen).await?;
        let start = starting_point(recipe, given, multiple)?;
        let report: Report = &mut |stage, step, steps, preview| match progress(Progress { stage, step, steps, preview })
        {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };
        let sized = |(height, width), start| SamplingPass { height, width, steps: recipe.steps, start };
        let first = sized((recipe.height, recipe.width), start);
        let needs_pixels = recipe.hires.is_none_or(|hires| hires.upscaler == Upscaler::Pixels);
        let output = self.sampling_pass(recipe, given, &vocabulary, &chosen, first, needs_pixels, report).await?;
        let (mut size, mut output) = ((recipe.height, recipe.width), output);
        if let Some(hires) = recipe.hires {
            let to = recipe.size_times(hires.scale, multiple);
            let denoise = hires.denoise;
            let start = match hires.upscaler {
                Upscaler::Latent => {
                    let latent = |(height, width): (usize, usize)| (height / multiple, width / multiple);
                    let clean = resize_batch(&output.latents, recipe.batch, latent(size), latent(to), Filter::Linear);
                    Start::Latents { clean, denoise }
                }
                Upscaler::Pixels => {
                    let pixels = resize_batch(&output.image, recipe.batch, size, to, Filter::Cubic);
                    Start::Pixels { pixels, denoise }
                }
            };
            let steps = if hires.steps == 0 { recipe.steps } else { hires.steps };
            let second = SamplingPass { steps, ..sized(to, start) };
            output = self.sampling_pass(recipe, given, &vocabulary, &chosen, second, true, report).await?;
            size = to;
        }
        let applied = chosen.iter().map(|(loaded, _)| Applied {
            name: loaded.file.name.clone(),
            matched: loaded.adapter.deltas.iter().map(Delta::path).collect::<BTreeSet<_>>().len(),
            leftovers: loaded.adapter.leftovers.len(),
        });
        Ok(Picture {
            width: size.1,
            height: size.0,
            rgb: to_rgb8(&output.image),
            image: output.image,
            applied: applied.collect(),
            latents: output.latents,
        })
    }

    /// Runs one pass from its starting point to the final latents, and decodes them if `needs_pixels`.
    #[expect(clippy::too_many_arguments, reason = "the inputs of one pass, with two callers")]
    async fn sampling_pass(
        &mut self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        vocabulary: &Vocabulary,
        chosen: &[(&LoadedAdapter, Strength)],
        SamplingPass { height, width, steps, start }: SamplingPass<'_>,
        needs_pixels: bool,
        report: Report<'_>,
    ) -> Result<PassOutput, PipelineError> {
        let kind: SamplerKind = recipe.sampler.parse()?;
        let is_xl = self.model.family() == FamilyId::Sdxl;
        let options = SamplerOptions {
            // diffusers' pipelines pass TCD an eta of 0, not its class's default of 0.3.
            eta: recipe.eta.or((kind == SamplerKind::Tcd).then_some(0.0)),
            sigma_spacing: recipe.schedule,
            timestep_spacing: recipe.spacing,
            is_xl,
        };
        let sampler = Sampler::new(kind, &self.model.schedule, steps, &options)?;
        let mut script = PromptSchedule::of(recipe, kind.calls_per_step() * steps)?;
        script.words.clone_from(&vocabulary.words);
        let multiple = self.model.size_multiple();
        let shape = Shape {
            pictures: recipe.batch,
            guided: recipe.guidance > 1.0 && !self.model.has_guidance_embedding(),
            height: height / multiple,
            width: width / multiple,
            chunks: self.model.tokenizers.iter().map(|tokenizer| script.longest(tokenizer)).max().unwrap_or(1),
            clip_skip: conditioning::clip_skip(recipe, is_xl),
            starts_from_picture: start.is_encoded(),
        };
        let request = Request { recipe, script, vocabulary, chosen, start, shape, preview: given.preview };
        let mut latents = Latents::new(&request, sampler, self.model.vae.config.latent_channels);
        let mut losses = 0;
        let image = loop {
            match self.run_pass(&request, &mut latents, needs_pixels, report).await {
                // Generation resumes from the last latents on a new device.
                Err(error) if error.is_lost_device() && losses < MAX_LOSSES => {
                    losses += 1;
                    self.recreate_device().await?;
                    latents.bound_segment = None;
                }
                // Retry without f16 math: it overflowed, or the result is not finite in f32 either.
                Err(PipelineError::F16Overflow) => {
                    self.config.f16_math = false;
                    self.runners = None;
                    latents.bound_segment = None;
                }
                other => break other?,
            }
        };
        Ok(PassOutput { image, latents: latents.current.unwrap_or_default() })
    }

    /// Collects the embedding words that the prompts may use, of chosen and of bundled embeddings.
    async fn vocabulary(
        &self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        chosen: &[(&LoadedAdapter, Strength)],
    ) -> Result<Vocabulary, PipelineError> {
        let mut bundled = Vec::new();
        for (loaded, _) in chosen {
            bundled.extend(Embedding::bundled(&loaded.id, &loaded.file, &self.text_widths()).await?);
        }
        let mut named = Vec::new();
        for choice in &recipe.embeddings {
            let found = given.embeddings.iter().find(|embedding| embedding.id == choice.sha256);
            let missing = || PipelineError::NoAdapter { name: choice.name.clone(), sha256: choice.sha256.clone() };
            named.push(*found.ok_or_else(missing)?);
        }
        Ok(Vocabulary::new(&named.into_iter().chain(&bundled).collect::<Vec<_>>()))
    }

    /// Returns the embedding width of each text encoder.
    pub fn text_widths(&self) -> Vec<(Component, usize)> {
        let width = |(component, clip, _): (Component, &Clip, _)| (component, clip.config.hidden_size);
        self.model.encoders().into_iter().map(width).collect()
    }

    /// Opens the device again after a loss. All GPU resources are lost and are uploaded again.
    async fn recreate_device(&mut self) -> Result<(), PipelineError> {
        let (gpu, config) = Gpu::reopen(&self.gpu, &self.config).await?;
        self.runners = None;
        self.conditioning_cache.clear();
        self.weights = Weights::default();
        self.gpu = Rc::new(gpu);
        self.config = config;
        Ok(())
    }
}

/// Looks up the recipe's adapters and those that its prompt mentions among the loaded ones.
fn choose<'a>(
    recipe: &Recipe,
    mentions: &[ExtraNetwork],
    adapters: &[&'a LoadedAdapter],
) -> Result<Vec<(&'a LoadedAdapter, Strength)>, PipelineError> {
    let missing = |name: &str, sha256: &str| PipelineError::NoAdapter { name: name.into(), sha256: sha256.into() };
    let blocks = |spec: Option<&str>| {
        spec.map_or(Ok(Strengths::default()), str::parse).map_err(|error| PipelineError::Recipe {
            what: "a LoRA's block weights",
            found: spec.unwrap_or_default().into(),
            wanted: error.to_string(),
        })
    };
    let mut chosen = Vec::new();
    for choice in &recipe.adapters {
        let found = adapters.iter().find(|adapter| adapter.id == choice.sha256);
        let text = choice.text_encoder.unwrap_or(choice.strength);
        let strength = Strength { unet: choice.strength, text, blocks: blocks(choice.blocks.as_deref())? };
        chosen.push((*found.ok_or_else(|| missing(&choice.name, &choice.sha256))?, strength));
    }
    for mention in mentions {
        let is_mentioned = |adapter: &&&LoadedAdapter| {
            let file = &adapter.file.name;
            *file == mention.name || file.rsplit_once('.').is_some_and(|(stem, _)| stem == mention.name)
        };
        let found = adapters.iter().find(is_mentioned).ok_or_else(|| missing(&mention.name, "unknown"))?;
        let strength =
            Strength { unet: mention.unet, text: mention.text_encoder, blocks: blocks(mention.blocks.as_deref())? };
        match chosen.iter_mut().find(|(adapter, _)| adapter.id == found.id) {
            Some((_, chosen)) => *chosen = strength,
            None => chosen.push((*found, strength)),
        }
    }
    Ok(chosen)
}

/// Size, steps and starting point of a pass.
struct SamplingPass<'a> {
    height: usize,
    width: usize,
    steps: usize,
    start: Start<'a>,
}

/// Output of a pass: pixels (empty if not needed) and the final latents.
struct PassOutput {
    image: Vec<f32>,
    latents: Vec<f32>,
}

/// Resizes each image or latent of a batch.
fn resize_batch(maps: &[f32], batch: usize, from: (usize, usize), to: (usize, usize), filter: Filter) -> Vec<f32> {
    maps.chunks_exact(maps.len() / batch).flat_map(|map| resize(map, from, to, filter)).collect()
}

/// Builds the starting point from init image, denoising strength and mask, and checks that they go together.
fn starting_point<'a>(
    recipe: &Recipe,
    given: &GenerateInputs<'a>,
    multiple: usize,
) -> Result<Start<'a>, PipelineError> {
    let bad = |what, found: String, wanted: &str| PipelineError::Recipe { what, found, wanted: wanted.into() };
    let image = "the init image";
    let pixels = recipe.width * recipe.height;
    let mask = match (recipe.masked, given.mask) {
        (false, None) => None,
        (true, Some(mask)) if mask.len() == pixels => Some(latent_mask(mask, recipe.width, multiple)),
        (true, Some(mask)) => {
            return Err(bad("the mask", format!("{} values long", mask.len()), "it must match the output size"));
        }
        (true, None) => return Err(bad("the mask", "missing".into(), "provide one, or set `masked` to false")),
        (false, Some(_)) => return Err(bad("the mask", "not expected".into(), "set `masked` to true to use it")),
    };
    match (given.init, recipe.denoise) {
        (None, None) => Ok(Start::Noise),
        (Some(given), Some(denoise)) if given.len() == pixels * 3 => {
            Ok(Start::Picture { pixels: given, denoise, mask })
        }
        (Some(given), Some(_)) => {
            Err(bad(image, format!("{} values long", given.len()), "it must match the output size"))
        }
        (None, Some(_)) => Err(bad(image, "missing".into(), "a denoising strength requires one")),
        (Some(_), None) => Err(bad(image, "given without a denoising strength".into(), "set the strength, 0 to 1")),
    }
}

/// Returns cosines, then sines, of the timestep at `width / 2` frequencies from 1 down to 1/10000
/// (diffusers' `get_timestep_embedding` with flip_sin_to_cos and freq_shift 0).
pub fn timestep_embedding(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| f64::from(timestep) * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
    let cosines = (0..half).map(|i| to_f32(angle(i).cos()));
    cosines.chain((0..half).map(|i| to_f32(angle(i).sin()))).collect()
}
