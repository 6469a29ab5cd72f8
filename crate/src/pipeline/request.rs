//! What an image is generated from: the recipe, and the data that it refers to.

use super::embedding::{Embedding, Vocabulary};
use super::error::PipelineError;
use super::guidance::Guidance;
use super::prompt_schedule::{Lengths, PromptSchedule};
use super::recipe::Recipe;
use super::resize::latent_mask;
use super::shape::Shape;
use super::upscaler::UpscalerFile;
use crate::adapters::Strengths;
use crate::sentence::{Sentence, sentence};
use crate::text::{ActiveSteps, ExtraNetwork, StrengthCurve};
use crate::weights::{LoadedAdapter, Strength};

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
    /// The upscaling network that the recipe names.
    pub upscaler: Option<&'a UpscalerFile>,
    /// Whether the progress includes previews.
    pub preview: bool,
    /// Whether only the latents are needed: they are not decoded, and the images are empty.
    pub latents_only: bool,
}

/// Starting point of a pass.
pub(super) enum Start<'a> {
    /// Pure noise.
    Noise,
    /// An init image, encoded to a sample of the encoder's distribution. With a mask, only latents whose
    /// entry is true change.
    Image { pixels: &'a [f32], denoise: f64, mask: Option<Mask> },
    /// Images of a first pass, encoded to the mean of the encoder's distribution.
    Pixels { pixels: Vec<f32>, denoise: f64 },
    /// Latents of a first pass.
    Latents { clean: Vec<f32>, denoise: f64 },
}

/// The mask of an init image.
pub(super) struct Mask {
    /// Latents to regenerate.
    pub latents: Vec<bool>,
    /// The init image, with 0 (gray) where it is regenerated.
    pub kept: Vec<f32>,
}

impl Start<'_> {
    /// Returns the mask, if there is one.
    pub fn mask(&self) -> Option<&Mask> {
        match self {
            Start::Image { mask, .. } => mask.as_ref(),
            _ => None,
        }
    }

    /// Returns the denoising strength; `None` for pure noise.
    pub fn denoise(&self) -> Option<f64> {
        match self {
            Start::Noise => None,
            Start::Image { denoise, .. } | Start::Pixels { denoise, .. } | Start::Latents { denoise, .. } => {
                Some(*denoise)
            }
        }
    }

    /// Returns whether the VAE's encoder is needed.
    pub fn is_encoded(&self) -> bool {
        matches!(self, Start::Image { .. } | Start::Pixels { .. })
    }
}

/// Everything that one sampling pass depends on.
pub struct Request<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) script: PromptSchedule,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) chosen: &'a [Chosen<'a>],
    pub(super) start: Start<'a>,
    pub(super) shape: Shape,
    pub(super) guidance: Guidance,
    pub(super) lengths: Lengths,
    pub(super) preview: bool,
}

impl Request<'_> {
    /// Returns the adapters with their strengths at a call of the pass, of `calls` calls.
    pub fn strengths(&self, call: usize, calls: usize) -> Vec<(&LoadedAdapter, Strength)> {
        let per_step = self.recipe.sampler.calls_per_step();
        // The web UI's step count: it follows the first call of each step.
        let (step, steps) = (call.div_ceil(per_step).saturating_sub(1), calls.div_ceil(per_step));
        self.chosen.iter().map(|chosen| (chosen.adapter, chosen.at(step, steps))).collect()
    }

    /// Builds the error that names the first layer with non-finite output of a network, at a step of so many.
    pub fn not_finite(&self, layer: Option<String>, network: Sentence, step: Option<(usize, usize)>) -> PipelineError {
        let at_step = |(step, steps)| sentence!("image.at_step", step = step, steps = steps);
        let when = step.map_or_else(|| sentence!("image.at_prompt"), at_step);
        let hint = match self.chosen.is_empty() {
            true => sentence!("image.hint_weights"),
            false => sentence!("image.hint_strength"),
        };
        PipelineError::not_finite(when, network, layer, hint)
    }
}

/// An adapter with its strengths over the steps of a pass.
pub struct Chosen<'a> {
    /// The adapter.
    pub adapter: &'a LoadedAdapter,
    text: f32,
    unet: StrengthCurve,
    active: ActiveSteps,
    blocks: Strengths,
}

impl Chosen<'_> {
    /// Returns the strength after `step` of `steps` steps.
    fn at(&self, step: usize, steps: usize) -> Strength {
        let unet = if self.active.contains(step, steps) { self.unet.at(step, steps) } else { 0.0 };
        Strength { unet, text: self.text, blocks: self.blocks.clone() }
    }

    /// Returns what the encoded prompts depend on.
    pub fn text_strength(&self) -> (f32, &Strengths) {
        (self.text, &self.blocks)
    }
}

/// Looks up the recipe's adapters and those that its prompt mentions among the loaded ones. The strengths of a mention
/// replace those of the recipe; those of several mentions of one adapter add up.
pub(super) fn choose<'a>(
    recipe: &Recipe,
    mentions: &[ExtraNetwork],
    adapters: &[&'a LoadedAdapter],
    is_second_pass: bool,
) -> Result<Vec<Chosen<'a>>, PipelineError> {
    let missing = |name: &str, sha256: &str| PipelineError::NoAdapter { name: name.into(), sha256: sha256.into() };
    let blocks = |spec: Option<&str>| {
        spec.map_or(Ok(Strengths::default()), str::parse)
            .map_err(|_| PipelineError::recipe(sentence!("recipe.block_weights", found = spec.unwrap_or_default())))
    };
    let mut mentioned = Vec::new();
    for mention in mentions {
        let named = |is_named: &dyn Fn(&LoadedAdapter) -> bool| adapters.iter().find(|adapter| is_named(adapter));
        let found = named(&|adapter| adapter.is_file(&mention.name))
            .or_else(|| named(&|adapter| adapter.alias() == Some(&mention.name)));
        let (second_text, second_unet) = if is_second_pass { mention.second_pass.clone() } else { (None, None) };
        mentioned.push(Chosen {
            adapter: found.ok_or_else(|| missing(&mention.name, "unknown"))?,
            text: second_text.as_ref().unwrap_or(&mention.text_encoder).at(0, 1),
            unet: second_unet.unwrap_or_else(|| mention.unet.clone()),
            active: mention.active,
            blocks: blocks(mention.blocks.as_deref())?,
        });
    }
    let mut chosen = Vec::new();
    for choice in &recipe.adapters {
        let found = adapters.iter().find(|adapter| adapter.id == choice.sha256);
        let adapter = *found.ok_or_else(|| missing(&choice.name, &choice.sha256))?;
        let blocks = blocks(choice.blocks.as_deref())?;
        if mentioned.iter().any(|mention: &Chosen| mention.adapter.id == adapter.id) {
            continue;
        }
        chosen.push(Chosen {
            adapter,
            text: choice.text_encoder.unwrap_or(choice.strength),
            unet: choice.strength.into(),
            active: ActiveSteps::default(),
            blocks,
        });
    }
    chosen.extend(mentioned);
    Ok(chosen)
}

/// Builds the starting point from init image, denoising strength and mask, and checks that they go together.
pub(super) fn starting_point<'a>(
    recipe: &Recipe,
    given: &GenerateInputs<'a>,
    multiple: usize,
) -> Result<Start<'a>, PipelineError> {
    let bad = PipelineError::recipe;
    let pixels = recipe.width * recipe.height;
    let mask = match (recipe.masked, given.mask) {
        (false, None) => None,
        (true, Some(mask)) if mask.len() == pixels => Some(mask),
        (true, Some(mask)) => {
            return Err(bad(sentence!("recipe.mask_size", found = mask.len())));
        }
        (true, None) => return Err(bad(sentence!("recipe.no_mask"))),
        (false, Some(_)) => return Err(bad(sentence!("recipe.mask_not_expected"))),
    };
    match (given.init, recipe.denoise) {
        (None, None) => Ok(Start::Noise),
        (Some(given), Some(denoise)) if given.len() == pixels * 3 => {
            let mask = mask.map(|mask| Mask {
                latents: latent_mask(mask, recipe.width, multiple),
                kept: given
                    .iter()
                    .enumerate()
                    .map(|(at, &value)| if mask[at / 3] < 0.5 { value } else { 0.0 })
                    .collect(),
            });
            Ok(Start::Image { pixels: given, denoise, mask })
        }
        (Some(given), Some(_)) => Err(bad(sentence!("recipe.image_size", found = given.len()))),
        (None, Some(_)) => Err(bad(sentence!("recipe.no_image"))),
        (Some(_), None) => Err(bad(sentence!("recipe.no_strength"))),
    }
}
