//! Heun's method: an Euler step, then the same step with the mean of both derivatives.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1.

use super::{Call, weighted_sum};

/// Pending Euler step between the two calls: its sample, derivative and `dt`.
#[derive(Default)]
pub(super) struct Heun(Option<(Vec<f32>, Vec<f32>, f64)>);

impl Heun {
    pub fn step(&mut self, call: &Call) -> Vec<f32> {
        let derivative = call.noise();
        if let Some((sample, first_derivative, dt)) = self.0.take() {
            return weighted_sum(&[(1.0, &sample), (dt / 2.0, &first_derivative), (dt / 2.0, &derivative)]);
        }
        let dt = call.next_level().sigma_ratio() - call.level().sigma_ratio();
        let next = weighted_sum(&[(1.0, call.sample), (dt, &derivative)]);
        if !call.is_last() {
            self.0 = Some((call.sample.to_vec(), derivative, dt));
        }
        next
    }
}
