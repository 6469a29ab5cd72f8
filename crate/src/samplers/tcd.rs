//! TCD: a step to a timestep below the next one, then added noise up to it.
//!
//! Source: Zheng et al., "Trajectory Consistency Distillation", 2024, strategic stochastic sampling.

use super::lcm::distilled_schedule;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::Level;
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use crate::num::to_whole;

pub(super) const TCD: Row = Row::new(
    Properties {
        is_distilled: true,
        eta: Some(0.3),
        // The pipelines pass 0 unless they are told otherwise.
        pipeline_eta: Some(0.0),
        ..Properties::timestep_based("tcd", "TCD")
    },
    Tcd::start,
);

struct Tcd {
    /// Level that each call denoises to, and level that added noise brings it up to.
    targets: Vec<(Level, Level)>,
}

impl Tcd {
    fn start(run: &SamplerRun) -> Started {
        let &SamplerRun { schedule, eta, .. } = run;
        let noise_schedule = distilled_schedule(run);
        let next = noise_schedule.timesteps.iter().skip(1).copied().chain([0.0]);
        let target = |t: f64| (schedule.level(to_whole(((1.0 - eta) * t).floor())), schedule.level(to_whole(t)));
        (Box::new(Self { targets: next.map(target).collect() }), noise_schedule)
    }
}

impl Solver for Tcd {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (below, to) = self.targets[call.index];
        let noised = weighted_sum(&[(below.alpha, &call.clean()), (below.sigma, &call.noise())]);
        if call.is_last() || below == to {
            return noised;
        }
        let ratio = to.alpha / below.alpha;
        weighted_sum(&[(ratio, &noised), ((1.0 - ratio * ratio).sqrt(), &noise.next(noised.len()))])
    }
}
