//! DDPM, in steps of σ.
//!
//! Source: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, algorithm 2, with α and ᾱ of a step from the σ
//! at its ends, as in ComfyUI's sampler "ddpm".

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DDPM: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding("ddpm", "DDPM")
    },
    |run| (Box::new(Ddpm), run.schedule.sigma_schedule(run.steps)),
);

struct Ddpm;

impl Solver for Ddpm {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (from, to) = (call.level(), call.next_level());
        let alpha = (from.alpha / to.alpha).powi(2);
        // The sample of unit variance is the call's times α of its level.
        let scale = 1.0 / (alpha.sqrt() * to.alpha);
        let mean = [(scale * from.alpha, call.sample), (-scale * (1.0 - alpha) / from.sigma, &call.noise())];
        if call.ends_at_zero() {
            return weighted_sum(&mean);
        }
        let deviation = (1.0 - alpha).sqrt() * to.sigma / from.sigma / to.alpha;
        weighted_sum(&[mean[0], mean[1], (deviation, &noise.next(call.sample.len()))])
    }
}
