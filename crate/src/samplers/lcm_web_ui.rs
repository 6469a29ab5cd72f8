//! LCM in the web UIs: samples x₀ + σ·noise, renoised to the next level.
//!
//! Source: Luo et al., "Latent Consistency Models", 2023, multistep sampling; A1111's `sd_samplers_lcm.py`, ComfyUI's
//! `k_diffusion/sampling.py`.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};

pub(super) const LCM_A1111: Row = Row::new(LCM_PROPERTIES, |run| {
    let noise_schedule = run.schedule.sigma_schedule(run.steps);
    let distances = noise_schedule.timesteps.iter().map(|t| t * TIMESTEP_SCALING).collect();
    (Box::new(Lcm { scaled_timesteps: Some(distances) }), noise_schedule)
});

pub(super) const LCM_COMFYUI: Row =
    Row::new(LCM_PROPERTIES, |run| (Box::new(Lcm { scaled_timesteps: None }), run.schedule.sigma_schedule(run.steps)));

const LCM_PROPERTIES: Properties = Properties::variance_exploding("lcm", "LCM");
/// Standard deviation of the data, and scale of the timestep, in the boundary condition.
const SIGMA_DATA: f64 = 0.5;
const TIMESTEP_SCALING: f64 = 10.0;

struct Lcm {
    /// Scaled timestep of each call, for A1111's boundary condition. A1111 takes every output for noise.
    scaled_timesteps: Option<Vec<f64>>,
}

impl Solver for Lcm {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let denoised = match &self.scaled_timesteps {
            Some(timesteps) => {
                let distance = timesteps[call.index].hypot(SIGMA_DATA);
                let (c_skip, c_out) = ((SIGMA_DATA / distance).powi(2), timesteps[call.index] / distance);
                let sigma = call.level().sigma_ratio();
                weighted_sum(&[(c_out + c_skip, call.sample), (-c_out * sigma, call.output)])
            }
            None => call.clean(),
        };
        if call.ends_at_zero() {
            return denoised;
        }
        let noise = noise.next(denoised.len());
        weighted_sum(&[(1.0, &denoised), (call.next_level().sigma_ratio(), &noise)])
    }
}
