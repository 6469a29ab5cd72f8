//! What an image is generated from: the recipe, and the data that it refers to.

use super::embedding::{Embedding, Vocabulary};
use super::error::PipelineError;
use super::prompt_schedule::PromptSchedule;
use super::recipe::Recipe;
use super::resize::latent_mask;
use super::shape::Shape;
use crate::adapters::Strengths;
use crate::text::ExtraNetwork;
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

    /// Returns whether the VAE's encoder is needed.
    pub fn is_encoded(&self) -> bool {
        matches!(self, Start::Picture { .. } | Start::Pixels { .. })
    }
}

/// Everything that one sampling pass depends on.
pub struct Request<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) script: PromptSchedule,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) chosen: &'a [(&'a LoadedAdapter, Strength)],
    pub(super) start: Start<'a>,
    pub(super) shape: Shape,
    pub(super) preview: bool,
}

/// Looks up the recipe's adapters and those that its prompt mentions among the loaded ones.
pub(super) fn choose<'a>(
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

/// Builds the starting point from init image, denoising strength and mask, and checks that they go together.
pub(super) fn starting_point<'a>(
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
