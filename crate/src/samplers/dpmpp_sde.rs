//! DPM-Solver++ (SDE), with two noise samples per step.
//!
//! Source: k-diffusion's DPM++ SDE sampler with the midpoint halfway in log σ. In the web UIs the two noise samples of
//! a step are from one Brownian path; otherwise they are independent.

use super::dpm2::midpoint_sigma;
use super::euler_a::ancestral_step;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::Level;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;
use crate::num::to_f32;

pub(super) const DPMPP_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        eta: Some(1.0),
        ..Properties::two_calls("dpmpp_sde", "DPM++ SDE")
    },
    |run| {
        let solver = DpmppSde { eta: run.eta, noise_scale: run.noise_scale(), start: None };
        let middle = if run.schedule.is_of_web_ui() { rounded_midpoint_sigma } else { midpoint_sigma };
        (Box::new(solver), run.schedule.midpoint_schedule(run.steps, &middle, false))
    },
);

/// Returns σ at the midpoint of a step, computed in f32 as in the web UIs: a Brownian path has other values at another
/// rounding.
fn rounded_midpoint_sigma(from: Level, to: Level) -> f64 {
    let lambda = |level: Level| -to_f32(level.sigma_ratio()).ln();
    let (from, to) = (lambda(from), lambda(to));
    f64::from((-(from + 0.5 * (to - from))).exp())
}

struct DpmppSde {
    eta: f64,
    noise_scale: f64,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Solver for DpmppSde {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let (from, start) = match self.start.take() {
            Some(start) => (call.levels[call.index - 1], start),
            None => {
                self.start = Some(call.sample.to_vec());
                (call.level(), call.sample.to_vec())
            }
        };
        let to = call.next_level();
        let (sigma_down, sigma_up) = ancestral_step(from, to, self.eta);
        let noise = noise.between(start.len(), from.sigma_ratio(), to.sigma_ratio());
        let ratio = sigma_down / from.sigma_ratio();
        weighted_sum(&[(ratio, &start), (1.0 - ratio, &clean), (sigma_up * self.noise_scale, &noise)])
    }
}
