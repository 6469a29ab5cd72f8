//! DPM-Solver++ (2S) ancestral.
//!
//! Source: Lu et al., "DPM-Solver++", 2022, singlestep of second order with the midpoint rule, and
//! k-diffusion's ancestral variant, which steps below the next level and adds noise up to it.

use super::euler_a::ancestral_step;
use super::{Call, weighted_sum};

pub(super) struct Dpmpp2sA {
    eta: f64,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Dpmpp2sA {
    pub fn new(eta: f64) -> Self {
        Self { eta, start: None }
    }

    pub fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let clean = call.clean();
        if call.is_last() {
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
        weighted_sum(&[(ratio, &start), (1.0 - ratio, &clean), (sigma_up, &noise(start.len()))])
    }
}
