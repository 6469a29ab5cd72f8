//! TCD: a step to a timestep below the next one, then added noise up to it.
//!
//! Source: Zheng et al., "Trajectory Consistency Distillation", 2024, strategic stochastic sampling.

use super::config::ScheduleConfig;
use super::schedule::{Level, NoiseSchedule, Schedule};
use super::{Call, lcm, weighted_sum};
use crate::num::to_whole;

pub(super) struct Tcd {
    /// Level that each call denoises to, and level that added noise brings it up to.
    targets: Vec<(Level, Level)>,
}

impl Tcd {
    pub fn new(schedule: &Schedule, config: &ScheduleConfig, steps: usize, eta: f64) -> (Self, NoiseSchedule) {
        let noise_schedule = lcm::distilled_schedule(schedule, config, steps);
        let next = noise_schedule.timesteps.iter().skip(1).copied().chain([0.0]);
        let target = |t: f64| (schedule.level(to_whole(((1.0 - eta) * t).floor())), schedule.level(to_whole(t)));
        (Self { targets: next.map(target).collect() }, noise_schedule)
    }

    pub fn step(&self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let (below, to) = self.targets[call.index];
        let noised = weighted_sum(&[(below.alpha, &call.clean()), (below.sigma, &call.noise())]);
        if call.is_last() || below == to {
            return noised;
        }
        let ratio = to.alpha / below.alpha;
        weighted_sum(&[(ratio, &noised), ((1.0 - ratio * ratio).sqrt(), &noise(noised.len()))])
    }
}
