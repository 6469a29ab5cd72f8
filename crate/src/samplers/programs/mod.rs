//! Rules of the web UIs: the noise levels of a run, and how its noise is seeded.
//!
//! Each program has a file with its samplers and what its schedule types have of their own; both start from the same
//! [`SigmaTable`], and share `levels.rs`.

mod a1111;
pub(super) mod comfyui;
mod levels;
mod table;

use super::spacing::SigmaSpacing;
use crate::program::Program;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub(super) use table::SigmaTable;

/// Settings of AUTOMATIC1111's web UI and its forks that change images, as far as they are not at their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
#[ts(optional_fields)]
pub struct WebUiSettings {
    /// Eta noise seed delta (ENSD): added to the seed for the noise of the steps.
    #[serde(skip_serializing_if = "is_zero")]
    #[ts(optional, as = "Option<i64>")]
    pub noise_seed_delta: i64,
    /// "Always discard next-to-last sigma".
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub discard_penultimate: bool,
    /// "SGM noise multiplier": initial noise times sqrt(1 + σ²) instead of σ.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub sgm_noise_multiplier: bool,
    /// "Enable quantization in K samplers": whole timesteps, which Forge and reForge always have.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub quantize: bool,
    /// "Sigma churn" of Euler, Heun and DPM2: noise that is added before a step, from `s_tmin` to `s_tmax`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s_churn: Option<f64>,
    /// "Sigma tmin".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s_tmin: Option<f64>,
    /// "Sigma tmax"; 0 for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s_tmax: Option<f64>,
    /// "Sigma noise": factor of the noise that the samplers of DPM and DPM++ and the churn add.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s_noise: Option<f64>,
    /// "Schedule min sigma".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_min: Option<f64>,
    /// "Schedule max sigma".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sigma_max: Option<f64>,
    /// "Schedule rho": exponent of Karras and Polyexponential.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rho: Option<f64>,
    /// "Beta schedule alpha".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_alpha: Option<f64>,
    /// "Beta schedule beta".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beta_beta: Option<f64>,
    /// "Extra noise", added to the latents of an init image, in multiples of its noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_noise: Option<f64>,
    /// "NGMS" (negative guidance minimum sigma): below it, every second call is without the negative prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_sigma_of_guidance: Option<f64>,
    /// "Skip Early CFG": share of the calls, from the first, that are without the negative prompt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_early_guidance: Option<f64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

impl WebUiSettings {
    /// Checks that the numbers are in the ranges that the web UI allows.
    ///
    /// # Errors
    /// The setting and what it must be.
    pub fn check(&self) -> Result<(), (&'static str, f64, &'static str)> {
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let rules: [(&str, Option<f64>, &dyn Fn(f64) -> bool, &str); 12] = [
            ("Sigma churn", self.s_churn, &not_negative, "recipe.not_negative"),
            ("Sigma tmin", self.s_tmin, &not_negative, "recipe.not_negative"),
            ("Sigma tmax", self.s_tmax, &not_negative, "recipe.not_negative"),
            ("Sigma noise", self.s_noise, &not_negative, "recipe.not_negative"),
            ("Schedule min sigma", self.sigma_min, &positive, "recipe.positive"),
            ("Schedule max sigma", self.sigma_max, &positive, "recipe.positive"),
            ("Schedule rho", self.rho, &positive, "recipe.positive"),
            ("Beta schedule alpha", self.beta_alpha, &positive, "recipe.positive"),
            ("Beta schedule beta", self.beta_beta, &positive, "recipe.positive"),
            ("Extra noise", self.extra_noise, &not_negative, "recipe.not_negative"),
            ("NGMS", self.min_sigma_of_guidance, &not_negative, "recipe.not_negative"),
            ("Skip Early CFG", self.skip_early_guidance, &|share| (0.0..=1.0).contains(&share), "recipe.share"),
        ];
        let wrong = rules.into_iter().find_map(|(name, value, is_allowed, wanted)| {
            value.filter(|value| !is_allowed(*value)).map(|value| (name, value, wanted))
        });
        wrong.map_or(Ok(()), Err)
    }
}

/// How a program seeds an image's noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoiseRules {
    /// Whether image i of a batch has a generator of its own, with the seed plus i.
    pub seeds_each_image: bool,
    /// Added to the seed of the generators of the steps' noise; `None` if those of the initial noise continue.
    pub step_seed_delta: Option<i64>,
    /// Whether an init image is encoded to a sample of the encoder's distribution, which draws noise, and not to its
    /// mean.
    pub samples_encoder: bool,
}

impl NoiseRules {
    /// Returns the rules of a program.
    pub fn of(program: Program, settings: &WebUiSettings) -> Self {
        match program {
            Program::Diffusers => Self { seeds_each_image: false, step_seed_delta: None, samples_encoder: true },
            Program::A1111 => a1111::noise_rules(settings),
            Program::Comfyui => comfyui::NOISE_RULES,
        }
    }
}

/// What a web UI plans a run from.
pub(super) struct RunRequest<'a> {
    /// Name of the sampler.
    pub sampler: &'a str,
    pub steps: usize,
    /// The chosen spacing; `None` for the program's default.
    pub spacing: Option<SigmaSpacing>,
    /// The sampler's spacing for "Automatic".
    pub automatic: SigmaSpacing,
    /// ᾱ of the training timesteps.
    pub alphas_bar: &'a [f64],
    pub is_xl: bool,
    /// Denoising strength of an image-to-image run.
    pub strength: Option<f64>,
    /// Whether the run is the second pass of Hires. fix.
    pub is_second_pass: bool,
    pub settings: WebUiSettings,
}

/// How a program turns σ into the network's timestep.
pub(super) enum TimestepRule {
    /// Interpolated in log σ.
    Fractional,
    /// The nearest entry of the table, spaced by `stride` from `first` on.
    Nearest { first: usize, stride: usize },
}

/// The schedule of a run.
pub(super) enum WebUiSchedule {
    Sigmas(SigmaSchedule),
    Timesteps(TimestepSchedule),
}

/// A schedule in σ of samples x₀ + σ·noise.
pub(super) struct SigmaSchedule {
    /// σ at the start of each step and at the end, which is not always 0.
    pub sigmas: Vec<f32>,
    /// Smallest and largest σ, including those before the start of an image-to-image run: the range of the noise's
    /// Brownian path.
    pub range: (f64, f64),
    /// Standard deviation of the initial noise, which is added to the latents of an init image.
    pub initial_noise: f64,
    /// σ that DPM fast and DPM adaptive choose their own steps between, descending.
    pub solver_range: (f64, f64),
    pub table: SigmaTable,
    pub rule: TimestepRule,
}

impl SigmaSchedule {
    /// Returns the network's timestep at a σ.
    pub fn timestep(&self, sigma: f64) -> f64 {
        match self.rule {
            TimestepRule::Fractional => self.table.index_of(sigma),
            TimestepRule::Nearest { first, stride } => first as f64 + stride as f64 * self.table.nearest(sigma) as f64,
        }
    }

    /// Returns the first σ and the last one that is not 0.
    fn first_and_last_of(sigmas: &[f32]) -> (f64, f64) {
        let last = sigmas.iter().rev().find(|sigma| **sigma > 0.0);
        (f64::from(sigmas[0]), f64::from(*last.unwrap_or(&sigmas[0])))
    }

    /// Returns the smallest and the largest σ, other than 0, of a whole schedule.
    fn range_of(sigmas: &[f32]) -> (f64, f64) {
        let positive = sigmas.iter().copied().filter(|sigma| *sigma > 0.0);
        let (min, max) = positive.fold((f32::MAX, 0.0_f32), |(min, max), sigma| (min.min(sigma), max.max(sigma)));
        (f64::from(min), f64::from(max))
    }
}

/// A schedule in training timesteps of samples of unit variance.
pub(super) struct TimestepSchedule {
    /// Timesteps of the run, descending; the last one is where it ends.
    pub timesteps: Vec<i64>,
    /// Timestep that an init image is noised to; `None` for a run from noise.
    pub start: Option<i64>,
}

/// Plans a run; `None` if the program does not have the sampler, which then runs as in diffusers.
pub(super) fn schedule(program: Program, request: &RunRequest) -> Option<WebUiSchedule> {
    match program {
        Program::Diffusers => None,
        Program::A1111 => a1111::schedule(request),
        Program::Comfyui => comfyui::schedule(request),
    }
}

/// Removes the level before the last.
fn without_penultimate(mut sigmas: Vec<f32>) -> Vec<f32> {
    if sigmas.len() > 1 {
        sigmas.remove(sigmas.len() - 2);
    }
    sigmas
}
