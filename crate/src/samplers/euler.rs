//! Euler's method in σ.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
//! algorithm 2.

use super::churn::Churn;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const EULER: Row = Row::new(
    Properties { automatic_spacing: Some(SigmaSpacing::Timesteps), ..Properties::variance_exploding("euler", "Euler") },
    start,
);

fn start(run: &SamplerRun) -> Started {
    let churn = Churn::of(run);
    let calls = match &churn {
        Some(churn) => churn.schedule(run.schedule, None),
        None => run.schedule.sigma_schedule(run.steps),
    };
    (Box::new(Euler { churn }), calls)
}

struct Euler {
    churn: Option<Churn>,
}

impl Solver for Euler {
    fn begin(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        match &self.churn {
            Some(churn) => churn.raise(sample, noise),
            None => sample,
        }
    }

    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let end = self.churn.as_ref().map_or_else(|| call.next_level().sigma_ratio(), Churn::end);
        let dt = end - call.level().sigma_ratio();
        let next = weighted_sum(&[(1.0, call.sample), (dt, &call.noise())]);
        match &mut self.churn {
            Some(churn) => churn.finish(next, noise),
            None => next,
        }
    }
}
