//! DPM-Solver++ (SDE), with two noise samples per step.
//!
//! Source: k-diffusion's DPM++ SDE sampler with the midpoint halfway in log σ. The two noise samples of a
//! step are independent; k-diffusion can also take both from one Brownian path.

use super::dpm2::midpoint_sigma;
use super::euler_a::ancestral_step;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DPMPP_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        eta: Some(1.0),
        ..Properties::two_calls("dpmpp_sde", "DPM++ SDE")
    },
    |run| {
        let solver = DpmppSde { eta: run.eta, start: None };
        (Box::new(solver), run.schedule.midpoint_schedule(run.steps, &midpoint_sigma, false))
    },
);

struct DpmppSde {
    eta: f64,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Solver for DpmppSde {
    fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let clean = call.clean();
        if call.is_last() {
            return clean;
        }
        let (from, start) = match self.start.take() {
            Some(start) => (call.levels[call.index - 1], start),
            None => {
                self.start = Some(call.sample.to_vec());
                (call.level(), call.sample.to_vec())
            }
        };
        let (sigma_down, sigma_up) = ancestral_step(from, call.next_level(), self.eta);
        let ratio = sigma_down / from.sigma_ratio();
        weighted_sum(&[(ratio, &start), (1.0 - ratio, &clean), (sigma_up, &noise(start.len()))])
    }
}
