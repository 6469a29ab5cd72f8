//! Turns two network outputs into the next sample by DPM-Solver++ (2S), down to below the next
//! level, and up to it with fresh noise.
//!
//! Source: Lu et al., "DPM-Solver++", 2022, singlestep of second order with the midpoint rule, and
//! k-diffusion's ancestral form of it.

use super::euler_a::split;
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
            let kept = call.next_level().sigma_ratio() / call.level().sigma_ratio();
            return weighted_sum(&[(kept, call.sample), (1.0 - kept, &clean)]);
        };
        let from = call.levels[call.index - 1];
        let (down, up) = split(from, call.next_level(), self.eta);
        let kept = down / from.sigma_ratio();
        weighted_sum(&[(kept, &start), (1.0 - kept, &clean), (up, &noise(start.len()))])
    }
}
