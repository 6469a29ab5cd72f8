//! Recipes: everything that determines an image, as one serializable value for links, files and tests.

use super::error::PipelineError;
use crate::num::to_index;
use crate::program::Program;
use crate::samplers::{PredictionType, SamplerKind, ScheduleConfig, SigmaSpacing, TimestepSpacing, WebUiSettings};
use crate::sentence::{Sentence, sentence};
use crate::text::Emphasis;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Everything that determines an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Recipe {
    /// Format version, currently 1.
    pub version: u32,
    /// Name of the base model.
    pub model: String,
    /// Adapters, in the order in which they were chosen; the result does not depend on it.
    pub adapters: Vec<AdapterChoice>,
    /// Prompt.
    pub prompt: String,
    /// Negative prompt; null for none, which SDXL distinguishes from an empty one.
    #[serde(default)]
    pub negative: Option<String>,
    /// Seed of the initial noise, a string above 2^53 - 1; PyTorch's CPU generator uses its low 32 bits.
    #[serde(with = "super::seed")]
    #[ts(type = "number | string")]
    pub seed: u64,
    /// Sampling steps.
    pub steps: usize,
    /// CFG scale; at 1 and below the negative prompt is not evaluated.
    pub guidance: f32,
    /// Sampler, by its name: `ddim`, `euler`, …
    #[ts(type = "string")]
    pub sampler: SamplerKind,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Schedule type: spacing of the noise levels, instead of the model's.
    #[serde(default)]
    #[ts(optional)]
    pub schedule: Option<SigmaSpacing>,
    /// Timestep spacing, instead of the model's.
    #[serde(default)]
    #[ts(optional, type = "\"leading\" | \"linspace\" | \"trailing\"")]
    pub spacing: Option<TimestepSpacing>,
    /// Noise added per step, 0 to 1, for samplers with an eta.
    #[serde(default)]
    #[ts(optional)]
    pub eta: Option<f64>,
    /// Random number generator of the noise.
    #[serde(default)]
    #[ts(optional, as = "Option<Rng>")]
    pub rng: Rng,
    /// The program whose image this is; `syntax` in older recipes.
    #[serde(default, alias = "syntax")]
    #[ts(optional, as = "Option<Program>")]
    pub program: Program,
    /// Settings of AUTOMATIC1111's web UI, for its images.
    #[serde(default)]
    #[ts(optional)]
    pub web_ui: Option<WebUiSettings>,
    /// Final layers of the text encoder to skip: diffusers' `clip_skip`, one less than the web UIs' value. In
    /// diffusers they add to those that SDXL itself skips and do not apply to negative prompts; in ComfyUI they
    /// replace those of SD 2.x and SDXL and apply to both prompts; in A1111 they apply to both prompts of SD 1.x.
    #[serde(default)]
    #[ts(optional, as = "Option<usize>")]
    pub clip_skip: usize,
    /// Variation of the seed's initial noise, for images of AUTOMATIC1111's web UI.
    #[serde(default)]
    #[ts(optional)]
    pub variation: Option<Variation>,
    /// Width and height in pixels whose initial noise is pasted into the middle of the image's ("Resize seed from
    /// width/height"), for images of AUTOMATIC1111's web UI.
    #[serde(default)]
    #[ts(optional)]
    pub seed_resize: Option<(usize, usize)>,
    /// Emphasis mode of prompts' weights in AUTOMATIC1111's web UI.
    #[serde(default)]
    #[ts(optional, as = "Option<Emphasis>")]
    pub emphasis: Emphasis,
    /// Whether the shorter of prompt and negative prompt is filled up with empty chunks, the web UI's setting
    /// "Pad prompt/negative prompt".
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub pad_conds: bool,
    /// Parametrization of the model's output, instead of the one that its files state or that is guessed.
    #[serde(default)]
    #[ts(optional, type = "\"epsilon\" | \"v_prediction\" | \"sample\"")]
    pub prediction: Option<PredictionType>,
    /// Whether the noise schedule is rescaled so that its last timestep is pure noise (zero terminal SNR), instead of
    /// what the model's files state.
    #[serde(default)]
    #[ts(optional)]
    pub zero_snr: Option<bool>,
    /// Share of the guided prediction that is rescaled to the deviation of the prompt's (CFG rescale), 0 to 1.
    #[serde(default)]
    #[ts(optional, as = "Option<f32>")]
    pub guidance_rescale: f32,
    /// Batch size. One generator draws the images' noise one after the other; in A1111 image i has the seed plus i.
    #[serde(default = "one")]
    #[ts(optional, as = "Option<usize>")]
    pub batch: usize,
    /// Denoising strength for an init image, 0 to 1.
    #[serde(default)]
    #[ts(optional)]
    pub denoise: Option<f64>,
    /// Whether the init image comes with an inpainting mask, whose white areas are regenerated.
    #[serde(default)]
    #[ts(optional, as = "Option<bool>")]
    pub masked: bool,
    /// Inpaints as AUTOMATIC1111 does: the result is pasted into the init image, which then may have any size. Without, the
    /// latents outside of the mask are kept, and nothing is pasted.
    #[serde(default)]
    #[ts(optional)]
    pub masked_area: Option<MaskedAreaSettings>,
    /// Hires. fix: a second pass at a larger size.
    #[serde(default)]
    #[ts(optional)]
    pub hires: Option<Hires>,
    /// Textual inversions that the prompts can use by name.
    #[serde(default)]
    #[ts(optional, as = "Option<Vec<EmbeddingChoice>>")]
    pub embeddings: Vec<EmbeddingChoice>,
}

/// A second seed whose initial noise is blended into that of the seed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, TS)]
pub struct Variation {
    /// Variation seed, a string above 2^53 - 1.
    #[serde(with = "super::seed")]
    #[ts(type = "number | string")]
    pub seed: u64,
    /// Variation strength, 0 to 1: share of the variation seed's noise.
    pub strength: f64,
}

/// Settings of inpainting as AUTOMATIC1111 does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MaskedAreaSettings {
    /// Pixels around the mask that are generated with it, for their context ("Only masked padding"): the masked area alone
    /// is generated, at the recipe's size. Without, the whole image is ("Whole picture").
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub padding: Option<usize>,
    /// Standard deviation of the mask's blur in pixels.
    pub blur: usize,
}

/// Settings of a second pass over the upscaled result of the first (Hires. fix).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct Hires {
    /// Upscaling factor of width and height.
    pub scale: f64,
    /// Denoising strength, 0 to 1.
    pub denoise: f64,
    /// Sampling steps; 0 for the same number as the first pass.
    #[serde(default)]
    #[ts(optional, as = "Option<usize>")]
    pub steps: usize,
    /// Upscaler.
    #[serde(default)]
    #[ts(optional, as = "Option<Upscaler>")]
    pub upscaler: Upscaler,
    /// Network that enlarges the pixels: its file's name without extension.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub network: Option<String>,
}

/// Upscaler between the two passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Upscaler {
    /// Linear interpolation of the latents (A1111's "Latent"): adds detail, and needs a denoising strength of
    /// at least 0.5.
    #[default]
    Latent,
    /// Interpolation of the decoded pixels, cubic or, in A1111, by Lanczos' filter; or a network.
    Pixels,
}

/// A textual inversion that prompts use by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct EmbeddingChoice {
    /// File name, for display.
    pub name: String,
    /// SHA-256 of the file, which identifies it.
    pub sha256: String,
}

fn one() -> usize {
    1
}

/// Random number generator of the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Rng {
    /// PyTorch's CPU generator (diffusers, ComfyUI, A1111 "CPU").
    #[default]
    Torch,
    /// Philox 4x32-10 (A1111 "NV").
    Philox,
    /// PyTorch's CPU generator for the initial noise and Philox for that of the steps (ComfyUI on an NVIDIA card).
    TorchPhilox,
}

impl std::str::FromStr for Rng {
    type Err = String;

    fn from_str(text: &str) -> Result<Rng, String> {
        match text {
            "torch" => Ok(Rng::Torch),
            "philox" => Ok(Rng::Philox),
            "torch_philox" => Ok(Rng::TorchPhilox),
            other => Err(format!("unknown RNG `{other}`; use torch, philox or torch_philox")),
        }
    }
}

/// An adapter and its strength.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, TS)]
pub struct AdapterChoice {
    /// File name, for display.
    pub name: String,
    /// SHA-256 of the file, which identifies it.
    pub sha256: String,
    /// Strength: 0 has no effect, 1 is the trained strength.
    pub strength: f32,
    /// Strength in the text encoders, if different.
    #[serde(default)]
    #[ts(optional)]
    pub text_encoder: Option<f32>,
    /// Block weights, multiplied with the strength: `IN04=0.5,MID=0` or a list of 12, 17, 20 or 26 numbers.
    #[serde(default)]
    #[ts(optional)]
    pub blocks: Option<String>,
    /// The web UIs' hash of the file, if known: 12 hex digits of the SHA-256 of the data after the header.
    #[serde(default)]
    #[ts(optional)]
    pub hash: Option<String>,
}

impl Recipe {
    /// Checks everything that does not depend on the model; sizes must be multiples of `multiple` pixels.
    pub fn check(&self, multiple: usize) -> Result<(), PipelineError> {
        let bad = |sentence: Sentence| Err(PipelineError::recipe(sentence));
        if self.version != 1 {
            return bad(sentence!("recipe.version", found = u64::from(self.version)));
        }
        let is_size = |pixels: usize| pixels > 0 && pixels.is_multiple_of(multiple) && pixels <= 4096;
        if !is_size(self.width) {
            return bad(sentence!("recipe.width", found = self.width, multiple = multiple));
        }
        if !is_size(self.height) {
            return bad(sentence!("recipe.height", found = self.height, multiple = multiple));
        }
        if self.batch == 0 || self.batch > 16 {
            return bad(sentence!("recipe.batch", found = self.batch));
        }
        if let Some(denoise) = self.denoise.filter(|denoise| !(0.0..=1.0).contains(denoise)) {
            return bad(sentence!("recipe.denoise", found = denoise));
        }
        if self.masked && self.denoise.is_none() {
            return bad(sentence!("recipe.mask_alone"));
        }
        if let Some(MaskedAreaSettings { padding, blur }) = self.masked_area
            && (padding.is_some_and(|padding| padding > 1024) || blur > 256)
        {
            return bad(sentence!("recipe.masked_area", padding = padding.unwrap_or(0), blur = blur));
        }
        if self.masked && self.masked_area.is_some() && self.hires.is_some() {
            return bad(sentence!("recipe.masked_hires"));
        }
        if let Some(hires) = &self.hires {
            let larger = self.size_times(hires.scale, multiple);
            if !(hires.scale > 1.0 && hires.scale <= 4.0 && larger.0 <= 4096 && larger.1 <= 4096) {
                return bad(sentence!("recipe.hires_scale", found = hires.scale));
            }
            if !(0.0..=1.0).contains(&hires.denoise) {
                return bad(sentence!("recipe.hires_denoise", found = hires.denoise));
            }
        }
        if let Some(variation) = self.variation.filter(|variation| !(0.0..=1.0).contains(&variation.strength)) {
            return bad(sentence!("recipe.variation", found = variation.strength));
        }
        self.check_settings()
    }

    /// Checks the settings of the web UIs, the guidance and the strengths.
    fn check_settings(&self) -> Result<(), PipelineError> {
        let bad = |sentence: Sentence| Err(PipelineError::recipe(sentence));
        let has_settings = self.variation.is_some()
            || self.seed_resize.is_some()
            || self.web_ui.is_some_and(|settings| settings != WebUiSettings::default());
        if self.program != Program::A1111 && has_settings {
            return bad(sentence!("recipe.only_a1111"));
        }
        if let Some((width, height)) = self.seed_resize.filter(|(width, height)| *width.max(height) > 4096) {
            return bad(sentence!("recipe.seed_size", width = width, height = height));
        }
        if let Err((name, found, wanted)) = self.web_ui.unwrap_or_default().check() {
            return bad(sentence!(wanted, name = name, found = found));
        }
        if !self.guidance.is_finite() {
            return bad(sentence!("recipe.guidance", found = self.guidance));
        }
        if !(0.0..=1.0).contains(&self.guidance_rescale) {
            return bad(sentence!("recipe.guidance_rescale", found = self.guidance_rescale));
        }
        for adapter in &self.adapters {
            if !adapter.strength.is_finite() || adapter.text_encoder.is_some_and(|strength| !strength.is_finite()) {
                return bad(sentence!("recipe.strength", found = adapter.strength));
            }
        }
        Ok(())
    }

    /// Returns the model's noise schedule with the recipe's choices.
    pub(super) fn noise_schedule(&self, of_model: &ScheduleConfig) -> ScheduleConfig {
        ScheduleConfig {
            prediction_type: self.prediction.or(of_model.prediction_type),
            rescale_betas_zero_snr: self.zero_snr.or(of_model.rescale_betas_zero_snr),
            ..of_model.clone()
        }
    }

    /// Returns height and width scaled by `scale`, rounded down to multiples of `multiple`.
    pub fn size_times(&self, scale: f64, multiple: usize) -> (usize, usize) {
        let times = |pixels: usize| to_index(pixels as f64 * scale / multiple as f64).saturating_mul(multiple);
        (times(self.height), times(self.width))
    }
}
