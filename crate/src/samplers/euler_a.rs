//! Euler ancestral: an Euler step to below the next level, then added noise up to it.
//!
//! Source: k-diffusion's "Euler ancestral" sampler.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::Level;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const EULER_A: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        follows_spaced_config: false,
        eta: Some(1.0),
        ..Properties::variance_exploding("euler_a", "Euler a")
    },
    |run| (Box::new(EulerA { eta: run.eta }), run.schedule.sigma_schedule(run.steps)),
);

struct EulerA {
    eta: f64,
}

impl Solver for EulerA {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (sigma_down, sigma_up) = ancestral_step(call.level(), call.next_level(), self.eta);
        let dt = sigma_down - call.level().sigma_ratio();
        weighted_sum(&[(1.0, call.sample), (dt, &call.noise()), (sigma_up, &noise.next(call.sample.len()))])
    }
}

/// Returns (`sigma_down`, `sigma_up`): the σ that an ancestral step goes down to, and that of the noise which
/// brings it up to `to`: `eta` times the noise of the training process between the two levels.
pub(super) fn ancestral_step(from: Level, to: Level, eta: f64) -> (f64, f64) {
    let (from, to) = (from.sigma_ratio(), to.sigma_ratio());
    let sigma_up = (eta * (to * to * (from * from - to * to) / (from * from)).sqrt()).min(to);
    ((to * to - sigma_up * sigma_up).sqrt(), sigma_up)
}
