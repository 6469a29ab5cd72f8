//! Noise levels of the training timesteps, from a model's config.

use super::config::{BetaSchedule, ScheduleConfig};
use super::properties::Properties;
use crate::num::to_f32;

/// ᾱ of the last timestep of a rescaled schedule in the web UIs, whose σ must be finite.
const WEB_UI_LAST_ALPHA_BAR: f64 = 4.897_345_189_085_343_5e-8;

/// Returns ᾱ of every training timestep: the cumulative product of 1 - β. β and ᾱ are rounded to f32 as in
/// diffusers.
pub(super) fn alphas_bar(properties: &Properties, config: &ScheduleConfig) -> Vec<f64> {
    let mut product = 1.0;
    let mut alphas_bar: Vec<f64> = betas(config)
        .into_iter()
        .map(|beta| {
            product *= f64::from(1.0 - beta);
            f64::from(to_f32(product))
        })
        .collect();
    if config.rescale_betas_zero_snr == Some(true) && properties.rescales_betas {
        rescale_to_zero_snr(&mut alphas_bar);
        if properties.is_sigma_based {
            let last = alphas_bar.len() - 1;
            // σ must stay finite: diffusers uses the smallest f16 value here.
            alphas_bar[last] = f64::from(2.0_f32.powi(-24));
        }
    }
    alphas_bar
}

/// Returns ᾱ of every training timestep in f64, as the web UIs compute it.
pub(super) fn exact_alphas_bar(config: &ScheduleConfig) -> Vec<f64> {
    let train = config.train_steps();
    let (start, end) = (config.beta_start.unwrap_or(0.0001), config.beta_end.unwrap_or(0.02));
    let ramp = |start: f64, end: f64, i: usize| start + (end - start) * i as f64 / (train - 1).max(1) as f64;
    let beta = |i: usize| match (&config.trained_betas, config.beta_schedule.unwrap_or(BetaSchedule::Linear)) {
        (Some(betas), _) => f64::from(betas[i]),
        (None, BetaSchedule::Linear) => ramp(start, end, i),
        (None, BetaSchedule::ScaledLinear) => ramp(start.sqrt(), end.sqrt(), i).powi(2),
        (None, BetaSchedule::SquaredCosine) => cosine_beta(i, train),
    };
    let mut product = 1.0;
    let mut alphas_bar: Vec<f64> = (0..train)
        .map(|i| {
            product *= 1.0 - beta(i);
            product
        })
        .collect();
    if config.rescale_betas_zero_snr == Some(true) {
        rescale_to_zero_snr(&mut alphas_bar);
        alphas_bar[train - 1] = WEB_UI_LAST_ALPHA_BAR;
    }
    alphas_bar
}

/// Returns the noise variance β of every training timestep.
fn betas(config: &ScheduleConfig) -> Vec<f32> {
    if let Some(betas) = &config.trained_betas {
        return betas.clone();
    }
    let train = config.train_steps();
    let (start, end) = (config.beta_start.unwrap_or(0.0001), config.beta_end.unwrap_or(0.02));
    let ramp = |start: f64, end: f64| {
        (0..train).map(move |i| to_f32(start + (end - start) * i as f64 / (train - 1).max(1) as f64))
    };
    match config.beta_schedule.unwrap_or(BetaSchedule::Linear) {
        BetaSchedule::Linear => ramp(start, end).collect(),
        BetaSchedule::ScaledLinear => ramp(start.sqrt(), end.sqrt()).map(|root| root * root).collect(),
        BetaSchedule::SquaredCosine => (0..train).map(|i| to_f32(cosine_beta(i, train))).collect(),
    }
}

/// Returns β of a squared cosine ᾱ.
fn cosine_beta(i: usize, train: usize) -> f64 {
    let curve = |i: usize| ((i as f64 / train as f64 + 0.008) / 1.008 * std::f64::consts::FRAC_PI_2).cos().powi(2);
    (1.0 - curve(i + 1) / curve(i)).min(0.999)
}

/// Shifts and scales √ᾱ so that the last value becomes 0 and the first is unchanged (Lin et al.,
/// "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1).
fn rescale_to_zero_snr(alphas_bar: &mut [f64]) {
    let (first, last) = (alphas_bar[0].sqrt(), alphas_bar[alphas_bar.len() - 1].sqrt());
    for alpha_bar in alphas_bar {
        *alpha_bar = ((alpha_bar.sqrt() - last) * first / (first - last)).powi(2);
    }
}
