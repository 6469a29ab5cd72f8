//! DPM-Solver++ (2S) ancestral.
//!
//! Source: Lu et al., "DPM-Solver++", 2022, singlestep of second order with the midpoint rule, and
//! k-diffusion's ancestral variant, which steps below the next level and adds noise up to it.

use super::dpm2::{ancestral_midpoint_sigma, mean_from_start};
use super::euler_a::ancestral_step;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DPMPP_2S_A: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        follows_spaced_config: false,
        eta: Some(1.0),
        ..Properties::two_calls("dpmpp_2s_a", "DPM++ 2S a")
    },
    |run| {
        let middle = ancestral_midpoint_sigma(run, mean_from_start);
        let solver = Dpmpp2sA { eta: run.eta, noise_scale: run.noise_scale(), start: None };
        (Box::new(solver), run.schedule.midpoint_schedule(run.steps, &middle, false))
    },
);

struct Dpmpp2sA {
    eta: f64,
    noise_scale: f64,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Solver for Dpmpp2sA {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let Some(start) = self.start.take() else {
            self.start = Some(call.sample.to_vec());
            let ratio = call.next_level().sigma_ratio() / call.level().sigma_ratio();
            return weighted_sum(&[(ratio, call.sample), (1.0 - ratio, &clean)]);
        };
        let from = call.levels[call.index - 1];
        let (sigma_down, sigma_up) = ancestral_step(from, call.next_level(), self.eta);
        let ratio = sigma_down / from.sigma_ratio();
        let noise = noise.next(start.len());
        weighted_sum(&[(ratio, &start), (1.0 - ratio, &clean), (sigma_up * self.noise_scale, &noise)])
    }
}
