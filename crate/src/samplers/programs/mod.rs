//! Rules of the web UIs: the noise levels of a run, and how its noise is seeded.
//!
//! Each program has a file with its spacings and its samplers; both start from the same [`SigmaTable`].

mod a1111;
pub(super) mod comfyui;
mod table;

use super::spacing::SigmaSpacing;
use crate::num::to_f32;
use crate::program::Program;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

pub(super) use table::SigmaTable;

/// Settings of AUTOMATIC1111's web UI that change images and are not at their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
#[serde(default)]
pub struct WebUiSettings {
    /// Eta noise seed delta (ENSD): added to the seed for the noise of the steps.
    #[ts(optional, as = "Option<i64>")]
    pub noise_seed_delta: i64,
    /// "Always discard next-to-last sigma".
    #[ts(optional, as = "Option<bool>")]
    pub discard_penultimate: bool,
    /// "SGM noise multiplier": initial noise times sqrt(1 + σ²) instead of σ.
    #[ts(optional, as = "Option<bool>")]
    pub sgm_noise_multiplier: bool,
    /// "Enable quantization in K samplers": whole timesteps.
    #[ts(optional, as = "Option<bool>")]
    pub quantize: bool,
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

/// Returns the levels of a distribution's quantiles for `n` steps, n >= 1.
fn quantile_points(n: usize, divisions: usize) -> impl Iterator<Item = f64> {
    (0..n).map(move |i| 1.0 - i as f64 / divisions.max(1) as f64)
}

/// Removes the level before the last.
fn without_penultimate(mut sigmas: Vec<f32>) -> Vec<f32> {
    if sigmas.len() > 1 {
        sigmas.remove(sigmas.len() - 2);
    }
    sigmas
}

/// Returns levels that are evenly spaced in the angle of their signal and noise, `n` from `max` on, `divisions` steps
/// before `min` (KL-optimal: Sabour et al., "Align Your Steps", 2024).
fn kl_optimal(n: usize, divisions: usize, (min, max): (f64, f64)) -> Vec<f32> {
    let angle = |i: usize| {
        let t = i as f64 / divisions.max(1) as f64;
        t * min.atan() + (1.0 - t) * max.atan()
    };
    (0..n).map(|i| to_f32(angle(i).tan())).collect()
}
