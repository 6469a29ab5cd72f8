//! Turns two network outputs into the next sample: an Euler step, then the same step with the mean of both slopes.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1.

use super::{Call, weighted_sum};

/// The Euler step that waits for its correction: sample, slope and width of the step.
#[derive(Default)]
pub(super) struct Heun(Option<(Vec<f32>, Vec<f32>, f64)>);

impl Heun {
    pub fn step(&mut self, call: &Call) -> Vec<f32> {
        let slope = call.noise();
        if let Some((sample, first_slope, width)) = self.0.take() {
            return weighted_sum(&[(1.0, &sample), (width / 2.0, &first_slope), (width / 2.0, &slope)]);
        }
        let width = call.next_level().sigma_ratio() - call.level().sigma_ratio();
        let next = weighted_sum(&[(1.0, call.sample), (width, &slope)]);
        if !call.is_last() {
            self.0 = Some((call.sample.to_vec(), slope, width));
        }
        next
    }
}
