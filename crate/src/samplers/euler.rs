//! Euler's method in σ.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
//! algorithm 2 without churn.

use super::{Call, weighted_sum};

pub(super) fn step(call: &Call) -> Vec<f32> {
    let dt = call.next_level().sigma_ratio() - call.level().sigma_ratio();
    weighted_sum(&[(1.0, call.sample), (dt, &call.noise())])
}
