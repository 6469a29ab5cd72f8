//! LCM: a one-step prediction of the clean sample, renoised to the next level.
//!
//! Source: Luo et al., "Latent Consistency Models", 2023, multistep sampling.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, clip, weighted_sum};
use crate::num::to_index;

pub(super) const LCM: Row =
    Row::new(Properties { is_distilled: true, ..Properties::timestep_based("lcm", "LCM") }, Lcm::start);

/// Standard deviation of the data that the boundary condition assumes.
const SIGMA_DATA: f64 = 0.5;

struct Lcm {
    /// Scaled timestep of each call.
    timesteps: Vec<f64>,
    clip: Option<f32>,
}

/// Returns the noise schedule of a model distilled on a coarser schedule: `steps` of that schedule's timesteps.
pub(super) fn distilled_schedule(&SamplerRun { schedule, config, steps, .. }: &SamplerRun) -> NoiseSchedule {
    let distilled = config.distilled_steps();
    let step_ratio = schedule.alphas_bar.len() / distilled;
    let index = |i: usize| to_index(i as f64 * (distilled as f64 / steps as f64));
    let timesteps: Vec<usize> = (0..steps).map(|i| (distilled - index(i)) * step_ratio - 1).collect();
    let end = Level { alpha: 1.0, sigma: 0.0 };
    let levels = timesteps.iter().map(|t| schedule.level(*t as i64)).chain([end]).collect();
    NoiseSchedule { timesteps: timesteps.into_iter().map(|t| t as f64).collect(), levels }
}

impl Lcm {
    fn start(run: &SamplerRun) -> Started {
        let noise_schedule = distilled_schedule(run);
        let scale = run.config.timestep_scaling.unwrap_or(10.0);
        let timesteps = noise_schedule.timesteps.iter().map(|t| t * scale).collect();
        (Box::new(Self { timesteps, clip: run.config.clip_range(false) }), noise_schedule)
    }
}

impl Solver for Lcm {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let mut clean = call.clean();
        clip(&mut clean, self.clip);
        let distance = self.timesteps[call.index].hypot(SIGMA_DATA);
        let c_skip = (SIGMA_DATA / distance).powi(2);
        let c_out = self.timesteps[call.index] / distance;
        let denoised = weighted_sum(&[(c_out, &clean), (c_skip, call.sample)]);
        if call.is_last() {
            return denoised;
        }
        let to = call.next_level();
        weighted_sum(&[(to.alpha, &denoised), (to.sigma, &noise.next(denoised.len()))])
    }
}
