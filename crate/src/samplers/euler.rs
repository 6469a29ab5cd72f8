//! Euler's method in σ.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
//! algorithm 2 without churn.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const EULER: Row = Row::new(
    Properties { automatic_spacing: Some(SigmaSpacing::Timesteps), ..Properties::variance_exploding("euler", "Euler") },
    |run| (Box::new(Euler), run.schedule.sigma_schedule(run.steps)),
);

struct Euler;

impl Solver for Euler {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        let dt = call.next_level().sigma_ratio() - call.level().sigma_ratio();
        weighted_sum(&[(1.0, call.sample), (dt, &call.noise())])
    }
}
