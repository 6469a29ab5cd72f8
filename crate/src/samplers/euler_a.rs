//! Turns a network output into the next sample by Euler's method down to below the next level, then up by fresh noise.
//!
//! Source: k-diffusion's "Euler ancestral" sampler.

use super::schedule::Level;
use super::{Call, weighted_sum};

pub(super) fn step(call: &Call, eta: f64, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
    let (down, up) = split(call.level(), call.next_level(), eta);
    let width = down - call.level().sigma_ratio();
    weighted_sum(&[(1.0, call.sample), (width, &call.noise()), (up, &noise(call.sample.len()))])
}

/// The level that a step goes down to, and the fresh noise that brings it up to `to`: the share
/// `eta` of what the chain of the training steps has there.
pub(super) fn split(from: Level, to: Level, eta: f64) -> (f64, f64) {
    let (from, to) = (from.sigma_ratio(), to.sigma_ratio());
    let up = (eta * (to * to * (from * from - to * to) / (from * from)).sqrt()).min(to);
    ((to * to - up * up).sqrt(), up)
}
