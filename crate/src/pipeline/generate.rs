//! Turns a recipe into a picture, step by step, on a device that keeps weights and plans between
//! pictures.

use super::conditioning::{self, Conditioning};
use super::embedding::{Embedding, Vocabulary};
use super::error::PipelineError;
use super::image::to_rgb8;
use super::latents::Latents;
use super::model::Model;
use super::preview::{Preview, Previewer};
use super::recipe::{Recipe, Upscaler};
use super::resize::{Filter, latent_mask, resize};
use super::runners::{Runners, Shape};
use super::prompt_schedule::PromptSchedule;
use crate::adapters::{Delta, Strengths};
use crate::gpu::Gpu;
use crate::model::{Clip, Component, FamilyId};
use crate::num::to_f32;
use crate::samplers::{Sampler, SamplerKind, SamplerOptions};
use crate::text::ExtraNetwork;
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
    /// Kernels are timed in the shapes that they can have, once on each device.
    Tune,
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
pub struct Progress<'a> {
    /// What is being done.
    pub stage: Stage,
    /// Parts of the stage that are done.
    pub step: usize,
    /// Parts of the stage.
    pub steps: usize,
    /// What the picture may become, where that was asked for and is new.
    pub preview: Option<&'a Preview>,
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

/// What a recipe names and does not hold.
#[derive(Clone, Copy, Default)]
pub struct GenerateInputs<'a> {
    /// Adapters, found by their sha256.
    pub adapters: &'a [&'a LoadedAdapter],
    /// Textual inversions, found by their sha256.
    pub embeddings: &'a [&'a Embedding],
    /// The picture to start from, (H, W, 3) from -1 to 1, where the recipe has a `denoise`.
    pub init: Option<&'a [f32]>,
    /// (H, W) from 0 to 1, where the recipe is `masked`: 1 is drawn anew.
    pub mask: Option<&'a [f32]>,
    /// Whether the progress shows what the picture may become.
    pub preview: bool,
}

/// What a pass begins with.
pub(super) enum Start<'a> {
    /// Noise alone.
    Noise,
    /// A picture, of which the encoder's distribution is sampled; with a mask, what it leaves white
    /// stays the picture's.
    Picture { pixels: &'a [f32], denoise: f64, mask: Option<Vec<bool>> },
    /// Pictures of a first pass, of which the encoder's mean is taken.
    Pixels { pixels: Vec<f32>, denoise: f64 },
    /// Latents of a first pass.
    Latents { clean: Vec<f32>, denoise: f64 },
}

impl Start<'_> {
    /// How far to go from it.
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

/// A pass over a picture.
pub(super) struct Request<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) script: PromptSchedule,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) chosen: &'a [(&'a LoadedAdapter, Strength)],
    pub(super) start: Start<'a>,
    pub(super) shape: Shape,
    pub(super) preview: bool,
}

/// A device, a model and everything that stays between pictures.
pub struct Session {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// The model.
    pub model: Model,
    pub(super) weights: Weights,
    pub(super) runners: Option<Runners>,
    pub(super) conditioning_cache: Vec<(String, Rc<Conditioning>)>,
    pub(super) previewer: Option<Previewer>,
}

/// Hears of each part of the work and may stop it.
pub(super) type Report<'a> = &'a mut dyn FnMut(Stage, usize, usize, Option<&Preview>) -> Result<(), PipelineError>;

impl Session {
    /// A session that has loaded nothing yet.
    pub fn new(gpu: Rc<Gpu>, model: Model) -> Session {
        Session { gpu, model, weights: Weights::default(), runners: None, conditioning_cache: Vec::new(), previewer: None }
    }

    /// Draws the recipe's picture with what it names. `progress` hears of each part and may stop the
    /// work, which it does before the next part.
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
        let start = starting_picture(recipe, given, multiple)?;
        let report: Report = &mut |stage, step, steps, preview| match progress(Progress { stage, step, steps, preview })
        {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };
        let sized = |(height, width), start| SamplingPass { height, width, steps: recipe.steps, start };
        let first = sized((recipe.height, recipe.width), start);
        let wants_pixels = recipe.hires.is_none_or(|hires| hires.upscaler == Upscaler::Pixels);
        let made = self.sampling_pass(recipe, given, &vocabulary, &chosen, first, wants_pixels, report).await?;
        let (mut size, mut made) = ((recipe.height, recipe.width), made);
        if let Some(hires) = recipe.hires {
            let to = recipe.size_times(hires.scale, multiple);
            let denoise = hires.denoise;
            let start = match hires.upscaler {
                Upscaler::Latent => {
                    let inner = |(height, width): (usize, usize)| (height / multiple, width / multiple);
                    let clean = each(&made.latents, recipe.batch, inner(size), inner(to), Filter::Linear);
                    Start::Latents { clean, denoise }
                }
                Upscaler::Pixels => {
                    Start::Pixels { pixels: each(&made.image, recipe.batch, size, to, Filter::Cubic), denoise }
                }
            };
            let steps = if hires.steps == 0 { recipe.steps } else { hires.steps };
            let second = SamplingPass { steps, ..sized(to, start) };
            made = self.sampling_pass(recipe, given, &vocabulary, &chosen, second, true, report).await?;
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
            rgb: to_rgb8(&made.image),
            image: made.image,
            applied: applied.collect(),
            latents: made.latents,
        })
    }

    /// One pass: noise or a start becomes latents, and those pixels where they are wanted.
    #[expect(clippy::too_many_arguments, reason = "what one pass needs, named at its only two calls")]
    async fn sampling_pass(
        &mut self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        vocabulary: &Vocabulary,
        chosen: &[(&LoadedAdapter, Strength)],
        SamplingPass { height, width, steps, start }: SamplingPass<'_>,
        wants_pixels: bool,
        report: Report<'_>,
    ) -> Result<Made, PipelineError> {
        let kind: SamplerKind = recipe.sampler.parse()?;
        let is_xl = self.model.family() == FamilyId::Sdxl;
        let options = SamplerOptions {
            // diffusers' pipelines hand TCD an eta of 0 and not the 0.3 that its class has.
            eta: recipe.eta.or((kind == SamplerKind::Tcd).then_some(0.0)),
            sigma_spacing: recipe.schedule,
            timestep_spacing: recipe.spacing,
            is_xl,
        };
        let sampler = Sampler::new(kind, &self.model.schedule, steps, &options)?;
        let mut script = PromptSchedule::of(recipe, if sampler.timesteps().len() > steps { 2 * steps } else { steps })?;
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
        let job = Request { recipe, script, vocabulary, chosen, start, shape, preview: given.preview };
        let mut latents = Latents::new(&job, sampler, self.model.vae.config.latent_channels);
        let mut losses = 0;
        let image = loop {
            match self.draw(&job, &mut latents, wants_pixels, report).await {
                // The device comes back, and the picture goes on from its last latents.
                Err(error) if error.is_lost_device() && losses < MAX_LOSSES => {
                    losses += 1;
                    self.recreate_device().await?;
                    latents.bound_segment = None;
                }
                // What is too large for halves, or flawed anyway, is computed again without them.
                Err(PipelineError::BeyondHalves) => {
                    self.gpu.set_f16_math(false);
                    self.runners = None;
                    latents.bound_segment = None;
                }
                other => break other?,
            }
        };
        Ok(Made { image, latents: latents.now.unwrap_or_default() })
    }

    /// The words that the prompts may use beyond the tokenizer's.
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

    /// Width of each text encoder's vectors.
    pub fn text_widths(&self) -> Vec<(Component, usize)> {
        let width = |(component, clip, _): (Component, &Clip, _)| (component, clip.config.hidden_size);
        self.model.encoders().into_iter().map(width).collect()
    }

    /// Opens the device anew after a loss. All that was in its memory is gone and comes again.
    async fn recreate_device(&mut self) -> Result<(), PipelineError> {
        let gpu = Gpu::open_like(&self.gpu).await?;
        self.runners = None;
        self.conditioning_cache.clear();
        self.weights = Weights::default();
        self.gpu = Rc::new(gpu);
        Ok(())
    }
}

/// The recipe's adapters and those that its prompt mentions, among those that are loaded.
fn choose<'a>(
    recipe: &Recipe,
    mentions: &[ExtraNetwork],
    adapters: &[&'a LoadedAdapter],
) -> Result<Vec<(&'a LoadedAdapter, Strength)>, PipelineError> {
    let missing = |name: &str, sha256: &str| PipelineError::NoAdapter { name: name.into(), sha256: sha256.into() };
    let blocks = |said: Option<&str>| {
        said.map_or(Ok(Strengths::default()), str::parse).map_err(|error| PipelineError::Recipe {
            what: "a LoRA's block strengths",
            found: said.unwrap_or_default().into(),
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
        let is_named = |adapter: &&&LoadedAdapter| {
            let file = &adapter.file.name;
            *file == mention.name || file.rsplit_once('.').is_some_and(|(stem, _)| stem == mention.name)
        };
        let found = adapters.iter().find(is_named).ok_or_else(|| missing(&mention.name, "unknown"))?;
        let strength =
            Strength { unet: mention.unet, text: mention.text_encoder, blocks: blocks(mention.blocks.as_deref())? };
        match chosen.iter_mut().find(|(adapter, _)| adapter.id == found.id) {
            Some((_, chosen)) => *chosen = strength,
            None => chosen.push((*found, strength)),
        }
    }
    Ok(chosen)
}

/// A pass to be made.
struct SamplingPass<'a> {
    height: usize,
    width: usize,
    steps: usize,
    start: Start<'a>,
}

/// What a pass gives: pixels where they were wanted, and the last latents.
struct Made {
    image: Vec<f32>,
    latents: Vec<f32>,
}

/// Resizes each map of a batch.
fn each(maps: &[f32], batch: usize, from: (usize, usize), to: (usize, usize), filter: Filter) -> Vec<f32> {
    maps.chunks_exact(maps.len() / batch).flat_map(|map| resize(map, from, to, filter)).collect()
}

/// The picture to start from, how far to go from it and where, which come together or not at all.
fn starting_picture<'a>(recipe: &Recipe, given: &GenerateInputs<'a>, multiple: usize) -> Result<Start<'a>, PipelineError> {
    let bad = |what, found: String, wanted: &str| PipelineError::Recipe { what, found, wanted: wanted.into() };
    let picture = "the picture to start from";
    let pixels = recipe.width * recipe.height;
    let mask = match (recipe.masked, given.mask) {
        (false, None) => None,
        (true, Some(mask)) if mask.len() == pixels => Some(latent_mask(mask, recipe.width, multiple)),
        (true, Some(mask)) => {
            return Err(bad("the mask", format!("{} numbers", mask.len()), "it must have the size of the result"));
        }
        (true, None) => return Err(bad("the mask", "missing".into(), "the recipe has one, so give it")),
        (false, Some(_)) => return Err(bad("the mask", "given".into(), "the recipe has none: say that it is masked")),
    };
    match (given.init, recipe.denoise) {
        (None, None) => Ok(Start::Noise),
        (Some(given), Some(denoise)) if given.len() == pixels * 3 => {
            Ok(Start::Picture { pixels: given, denoise, mask })
        }
        (Some(given), Some(_)) => {
            Err(bad(picture, format!("{} numbers", given.len()), "it must have the size of the result"))
        }
        (None, Some(_)) => {
            Err(bad(picture, "missing".into(), "the recipe has a denoising strength, so give its picture"))
        }
        (Some(_), None) => Err(bad(picture, "given".into(), "also give the denoising strength, 0 to 1")),
    }
}

/// Cosines, then sines, of the timestep at `width / 2` frequencies from 1 down to 1/10000
/// (diffusers' `get_timestep_embedding` with flip_sin_to_cos and freq_shift 0).
pub fn timestep_embedding(timestep: f32, width: usize) -> Vec<f32> {
    let half = width / 2;
    let angle = |i: usize| f64::from(timestep) * (-(10_000f64.ln()) * i as f64 / half as f64).exp();
    let cosines = (0..half).map(|i| to_f32(angle(i).cos()));
    cosines.chain((0..half).map(|i| to_f32(angle(i).sin()))).collect()
}
