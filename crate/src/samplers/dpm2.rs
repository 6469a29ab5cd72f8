//! Turns two network outputs into the next sample: an Euler step to the middle, then the whole step with the slope there.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
//! and k-diffusion's DPM2 samplers, which put the middle halfway in log σ.

use super::euler_a::split;
use super::schedule::Level;
use super::{Call, weighted_sum};

/// σ in the middle of a step.
pub(super) fn middle(from: Level, to: Level) -> f64 {
    (from.sigma_ratio() * to.sigma_ratio()).sqrt()
}

/// σ in the middle of a step down to below its end, from where fresh noise brings it up.
pub(super) fn ancestral_middle(eta: f64) -> impl Fn(Level, Level) -> f64 {
    move |from, to| (from.sigma_ratio() * split(from, to, eta).0).sqrt()
}

pub(super) struct Dpm2 {
    /// Share of fresh noise; None goes to the end of the step at once.
    eta: Option<f64>,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Dpm2 {
    pub fn new(eta: Option<f64>) -> Self {
        Self { eta, start: None }
    }

    /// Whether steps have no fresh noise.
    pub fn is_deterministic(&self) -> bool {
        self.eta.is_none()
    }

    pub fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let slope = call.noise();
        let to = call.next_level();
        let Some(start) = self.start.take() else {
            if !call.is_last() {
                self.start = Some(call.sample.to_vec());
            }
            return weighted_sum(&[(1.0, call.sample), (to.sigma_ratio() - call.level().sigma_ratio(), &slope)]);
        };
        let from = call.levels[call.index - 1];
        let Some(eta) = self.eta else {
            return weighted_sum(&[(1.0, &start), (to.sigma_ratio() - from.sigma_ratio(), &slope)]);
        };
        let (down, up) = split(from, to, eta);
        weighted_sum(&[(1.0, &start), (down - from.sigma_ratio(), &slope), (up, &noise(start.len()))])
    }
}
