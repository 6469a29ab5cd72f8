//! Turns the whole cause of a picture into one value that travels: in links, files and tests.

use super::error::PipelineError;
use crate::num::to_index;
use crate::samplers::{SigmaSpacing, TimestepSpacing};
use crate::text::Syntax;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// The whole cause of a picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Recipe {
    /// 1.
    pub version: u32,
    /// Name of the base model.
    pub model: String,
    /// Adapters, in the order in which they were chosen; the sum does not depend on it.
    pub adapters: Vec<AdapterChoice>,
    /// What to draw.
    pub prompt: String,
    /// What to keep away from; null for nothing, which SDXL tells from an empty text.
    #[serde(default)]
    pub negative: Option<String>,
    /// Seed of the first latent: its low 32 bits, as PyTorch's CPU generator takes it.
    #[ts(type = "number")]
    pub seed: u64,
    /// Sampling steps.
    pub steps: usize,
    /// Classifier-free guidance; 1 and less leave out the negative prompt and its cost.
    pub guidance: f32,
    /// Name of the sampler: `ddim`, `euler`, …
    pub sampler: String,
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Spacing of the noise levels, in place of the model's.
    #[serde(default)]
    #[ts(
        optional,
        type = "\"timesteps\" | \"karras\" | \"exponential\" | \"sgm_uniform\" | \"simple\" | \"beta\" | \"ays\""
    )]
    pub schedule: Option<SigmaSpacing>,
    /// Choice of timesteps, in place of the model's.
    #[serde(default)]
    #[ts(optional, type = "\"leading\" | \"linspace\" | \"trailing\"")]
    pub spacing: Option<TimestepSpacing>,
    /// Share of fresh noise in each step, 0 to 1, for samplers that have it.
    #[serde(default)]
    #[ts(optional)]
    pub eta: Option<f64>,
    /// Where noise comes from.
    #[serde(default)]
    #[ts(optional, as = "Option<Rng>")]
    pub rng: Rng,
    /// How the prompts are read.
    #[serde(default)]
    #[ts(optional, as = "Option<Syntax>")]
    pub syntax: Syntax,
    /// Layers of the text encoder left out at the end: diffusers' `clip_skip`, one less than the web UIs'
    /// number. Read plainly, they are beyond those that SDXL itself leaves out, and negative prompts keep
    /// all, as in diffusers; in the web UIs' syntax both are as there.
    #[serde(default)]
    #[ts(optional, as = "Option<usize>")]
    pub clip_skip: usize,
    /// Pictures drawn at once, their noise from one generator one after the other.
    #[serde(default = "one")]
    #[ts(optional, as = "Option<usize>")]
    pub batch: usize,
    /// With a picture to start from: how far to go from it, 0 to 1.
    #[serde(default)]
    #[ts(optional)]
    pub denoise: Option<f64>,
    /// With a picture to start from: a mask comes with it, and only what is white there is drawn anew.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub masked: bool,
    /// A second pass over the picture at a larger size.
    #[serde(default)]
    #[ts(optional)]
    pub hires: Option<Hires>,
    /// Textual inversions that the prompts call by name.
    #[serde(default)]
    #[ts(optional, as = "Option<Vec<EmbeddingChoice>>")]
    pub embeddings: Vec<EmbeddingChoice>,
}

/// A second pass, from the first one's result at a larger size.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct Hires {
    /// Times as wide and high.
    pub scale: f64,
    /// How far to go from the first pass, 0 to 1.
    pub denoise: f64,
    /// Sampling steps; 0 for as many as the first pass has.
    #[serde(default)]
    #[ts(optional, as = "Option<usize>")]
    pub steps: usize,
    /// What is made larger.
    #[serde(default)]
    #[ts(optional, as = "Option<Upscaler>")]
    pub upscaler: Upscaler,
}

/// What a second pass makes larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Upscaler {
    /// The latents, linearly (A1111's "Latent"): new detail, and wants a denoising strength from 0.5 on.
    #[default]
    Latent,
    /// The decoded pixels, cubically.
    Pixels,
}

/// A textual inversion that prompts call by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct EmbeddingChoice {
    /// File name, for people.
    pub name: String,
    /// What identifies it.
    pub sha256: String,
}

fn one() -> usize {
    1
}

/// Where noise comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Rng {
    /// PyTorch's CPU generator (diffusers, ComfyUI, A1111 "CPU").
    #[default]
    Torch,
    /// Philox 4x32-10 as A1111's "NV" has it.
    Philox,
}

impl std::str::FromStr for Rng {
    type Err = String;

    fn from_str(text: &str) -> Result<Rng, String> {
        match text {
            "torch" => Ok(Rng::Torch),
            "philox" => Ok(Rng::Philox),
            other => Err(format!("there is no generator `{other}`; there are torch and philox")),
        }
    }
}

/// An adapter and how strongly it acts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AdapterChoice {
    /// File name, for people.
    pub name: String,
    /// What identifies it.
    pub sha256: String,
    /// 0 changes nothing, 1 is what was trained.
    pub strength: f32,
    /// The same for the text encoders, where it differs.
    #[serde(default)]
    #[ts(optional)]
    pub text_encoder: Option<f32>,
    /// What the strength is multiplied by in some blocks, `IN04=0.5,MID=0` or a list of 12, 17, 20 or 26 numbers.
    #[serde(default)]
    #[ts(optional)]
    pub blocks: Option<String>,
    /// The web UIs' hash of its file, where it is known: 12 digits of the SHA-256 of what stands behind the header.
    #[serde(default)]
    #[ts(optional)]
    pub hash: Option<String>,
}

impl Recipe {
    /// Checks what does not depend on the model; `multiple` is the model's pixels per step of size.
    pub fn check(&self, multiple: usize) -> Result<(), PipelineError> {
        let bad = |what, found: String, wanted: String| Err(PipelineError::Recipe { what, found, wanted });
        if self.version != 1 {
            return bad("the recipe's version", self.version.to_string(), "this program reads version 1".into());
        }
        for (what, pixels) in [("width", self.width), ("height", self.height)] {
            if pixels == 0 || pixels % multiple != 0 || pixels > 4096 {
                return bad(
                    what,
                    pixels.to_string(),
                    format!("it must be a multiple of {multiple} from {multiple} to 4096"),
                );
            }
        }
        if self.batch == 0 || self.batch > 16 {
            return bad("the batch", self.batch.to_string(), "it must be 1 to 16".into());
        }
        if let Some(denoise) = self.denoise.filter(|denoise| !(0.0..=1.0).contains(denoise)) {
            return bad("the denoising strength", denoise.to_string(), "it must be 0 to 1".into());
        }
        if self.masked && self.denoise.is_none() {
            return bad("the mask", "given alone".into(), "a mask needs a picture to start from".into());
        }
        if let Some(hires) = &self.hires {
            let larger = self.size_times(hires.scale, multiple);
            if !(hires.scale > 1.0 && hires.scale <= 4.0 && larger.0 <= 4096 && larger.1 <= 4096) {
                return bad(
                    "the second pass's scale",
                    hires.scale.to_string(),
                    "it must be over 1 and at most 4, and the result at most 4096 pixels wide and high".into(),
                );
            }
            if !(0.0..=1.0).contains(&hires.denoise) {
                return bad("the second pass's strength", hires.denoise.to_string(), "it must be 0 to 1".into());
            }
        }
        if !self.guidance.is_finite() {
            return bad("guidance", self.guidance.to_string(), "it must be a number; 7 is usual".into());
        }
        for adapter in &self.adapters {
            if !adapter.strength.is_finite() || adapter.text_encoder.is_some_and(|strength| !strength.is_finite()) {
                return bad(
                    "a LoRA's strength",
                    adapter.strength.to_string(),
                    "it must be a number; 1 is usual".into(),
                );
            }
        }
        Ok(())
    }

    /// Height and width, so many times as large, as multiples of `multiple`.
    pub fn size_times(&self, scale: f64, multiple: usize) -> (usize, usize) {
        let times = |pixels: usize| to_index(pixels as f64 * scale / multiple as f64).saturating_mul(multiple);
        (times(self.height), times(self.width))
    }
}
