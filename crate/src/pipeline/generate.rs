//! Image generation from a recipe, in a session that keeps weights and plans between images.

use super::embedding::{Embedding, Vocabulary};
use super::error::PipelineError;
use super::guidance::Guidance;
use super::image::{DecodedImage, to_rgb8};
use super::latents::Latents;
use super::progress::{Control, Progress, Report, Stage};
use super::prompt_schedule::PromptSchedule;
use super::recipe::{Recipe, Upscaler};
use super::request::{Chosen, GenerateInputs, Request, Start, choose, starting_point};
use super::resize::{Filter, lanczos, resize};
use super::session::Session;
use super::shape::Shape;
use super::tiles::Tiling;
use super::upscaler::{Channels, Enlarger};
use crate::adapters::Delta;
use crate::model::FamilyId;
use crate::num::to_byte;
use crate::program::Program;
use crate::samplers::{Sampler, SamplerOptions};
use crate::text::{Pass, Tokenizer};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use ts_rs::TS;

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
pub struct GeneratedImages {
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

impl Session {
    /// Generates the recipe's image from the given inputs. `progress` is called before each part of the
    /// work and can stop it there.
    pub async fn generate(
        &mut self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        progress: &mut dyn FnMut(Progress) -> Control,
    ) -> Result<GeneratedImages, PipelineError> {
        let multiple = self.model.size_multiple();
        recipe.check(multiple)?;
        let mentions = PromptSchedule::of(recipe, Pass { steps: recipe.steps, before: None })?.mentions;
        let chosen = choose(recipe, &mentions, given.adapters, false)?;
        let vocabulary = self.vocabulary(recipe, given, &chosen).await?;
        let start = starting_point(recipe, given, multiple)?;
        let report: Report = &mut |stage, step, steps, preview| match progress(Progress { stage, step, steps, preview })
        {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(PipelineError::Cancelled),
        };
        let sized =
            |(height, width), start| SamplingPass { height, width, steps: recipe.steps, is_second: false, start };
        let first = sized((recipe.height, recipe.width), start);
        let is_decoded = !given.latents_only;
        let needs_pixels = recipe.hires.as_ref().map_or(is_decoded, |hires| hires.upscaler == Upscaler::Pixels);
        let output = self.sampling_pass(recipe, given, &vocabulary, &chosen, first, needs_pixels, report).await?;
        let (mut size, mut output) = ((recipe.height, recipe.width), output);
        if let Some(hires) = &recipe.hires {
            let to = recipe.size_times(hires.scale, multiple);
            let denoise = hires.denoise;
            let start = match hires.upscaler {
                Upscaler::Latent => {
                    let latent = |(height, width): (usize, usize)| (height / multiple, width / multiple);
                    let clean = resize_batch(&output.latents, recipe.batch, latent(size), latent(to), Filter::Linear);
                    Start::Latents { clean, denoise }
                }
                Upscaler::Pixels => {
                    let pixels = self.enlarged(recipe, given, &output.image, size, to, report).await?;
                    Start::Pixels { pixels, denoise }
                }
            };
            let steps = if hires.steps == 0 { recipe.steps } else { hires.steps };
            let second = SamplingPass { steps, is_second: true, ..sized(to, start) };
            let chosen = choose(recipe, &mentions, given.adapters, true)?;
            output = self.sampling_pass(recipe, given, &vocabulary, &chosen, second, is_decoded, report).await?;
            size = to;
        }
        let applied = chosen.iter().map(|Chosen { adapter: loaded, .. }| Applied {
            name: loaded.file.name.clone(),
            matched: loaded.adapter.deltas.iter().map(Delta::path).collect::<BTreeSet<_>>().len(),
            leftovers: loaded.adapter.leftovers.len(),
        });
        Ok(GeneratedImages {
            width: size.1,
            height: size.0,
            rgb: to_rgb8(&output.image),
            image: output.image,
            applied: applied.collect(),
            latents: output.latents,
        })
    }

    /// Enlarges the images of a first pass: by the recipe's network, or as its program interpolates.
    async fn enlarged(
        &self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        images: &[f32],
        from: (usize, usize),
        to: (usize, usize),
        report: Report<'_>,
    ) -> Result<Vec<f32>, PipelineError> {
        let is_a1111 = recipe.program == Program::A1111;
        let network = recipe.hires.as_ref().and_then(|hires| hires.network.as_ref());
        let mut enlarger = match (network, given.upscaler) {
            (Some(name), None) => return Err(PipelineError::NoUpscaler(name.clone())),
            (None, _) if !is_a1111 => return Ok(resize_batch(images, recipe.batch, from, to, Filter::Cubic)),
            (None, _) => None,
            (Some(_), Some(upscaler)) => {
                let channels = if is_a1111 { Channels::Bgr } else { Channels::Rgb };
                Some(Enlarger::new(&self.device, &self.config, upscaler, Tiling::default(), channels))
            }
        };
        let mut pixels = Vec::new();
        for image in images.chunks_exact(images.len() / recipe.batch) {
            // A1111 cuts off what follows the point.
            let round = if is_a1111 { f32::floor } else { f32::round };
            let byte = |value: &f32| to_byte(round((value / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0));
            let image = DecodedImage { width: from.1, height: from.0, rgb: image.iter().map(byte).collect() };
            let enlarged = match &mut enlarger {
                Some(enlarger) => {
                    let on_tile = &mut |done, tiles| report(Stage::Upscale, done, tiles, None);
                    enlarger.enlarge(image, (to.1, to.0), on_tile).await?
                }
                None => lanczos(image, (to.1, to.0)),
            };
            pixels.extend(enlarged.rgb.iter().map(|&value| f32::from(value) / 127.5 - 1.0));
        }
        Ok(pixels)
    }

    /// Runs one pass from its starting point to the final latents, and decodes them if `needs_pixels`.
    #[expect(clippy::too_many_arguments, reason = "the inputs of one pass, with two callers")]
    async fn sampling_pass(
        &mut self,
        recipe: &Recipe,
        given: &GenerateInputs<'_>,
        vocabulary: &Vocabulary,
        chosen: &[Chosen<'_>],
        SamplingPass { height, width, steps, is_second, start }: SamplingPass<'_>,
        needs_pixels: bool,
        report: Report<'_>,
    ) -> Result<PassOutput, PipelineError> {
        let kind = recipe.sampler;
        let spec = &self.model.spec;
        let options = SamplerOptions {
            eta: recipe.eta.or(kind.pipeline_eta()),
            sigma_spacing: recipe.schedule,
            timestep_spacing: recipe.spacing,
            is_xl: spec.family() == FamilyId::Sdxl,
            program: recipe.program,
            strength: start.denoise(),
            is_second_pass: matches!(start, Start::Latents { .. } | Start::Pixels { .. }),
            settings: recipe.web_ui.unwrap_or_default(),
        };
        let sampler = Sampler::new(kind, &recipe.noise_schedule(&self.model.schedule), steps, &options)?;
        let calls = |steps| kind.calls_per_step() * steps;
        let pass = Pass { steps: calls(steps), before: is_second.then_some(calls(recipe.steps)) };
        let script = PromptSchedule::of(recipe, pass)?.with_words(&vocabulary.words)?;
        let guidance = Guidance::new(recipe, script.weights.clone(), spec.embeds_guidance());
        let encoders = spec.text_encoders();
        let tokenizers: Vec<&Tokenizer> = encoders.iter().map(|encoder| encoder.tokenizer).collect();
        let lengths = script.lengths(&tokenizers, recipe.pad_conds);
        let multiple = self.model.size_multiple();
        let shape = Shape {
            images: recipe.batch,
            guided: guidance.needs_negative(),
            prompts: guidance.prompts(),
            height: height / multiple,
            width: width / multiple,
            chunks: lengths.common(guidance.needs_negative()),
            clip_skip: spec.clip_skip(recipe),
            encodes_image: start.is_encoded() || spec.latents().reads_masked_image,
        };
        let preview = given.preview;
        let request = Request { recipe, script, vocabulary, chosen, start, shape, guidance, lengths, preview };
        let mut latents = Latents::new(&request, sampler, spec.latents());
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
                Err(PipelineError::Partner(_)) => {
                    self.partner = None;
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
        chosen: &[Chosen<'_>],
    ) -> Result<Vocabulary, PipelineError> {
        let mut bundled = Vec::new();
        for Chosen { adapter: loaded, .. } in chosen {
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
}

/// Size, steps and starting point of a pass.
struct SamplingPass<'a> {
    height: usize,
    width: usize,
    steps: usize,
    is_second: bool,
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
