//! Diffusion samplers: noise schedule, and network output and sample of each call -> next sample.
//!
//! A [`Sampler`] is created for one run from a kind, a model's noise schedule and a number of steps. Each kind
//! has its properties, its choice of noise levels and its arithmetic in one file, and a line in `kind.rs`; scaling
//! of the samples is shared. Results match diffusers 0.42: the same timesteps and arithmetic, with noise drawn in
//! the same order.
//!
//! Samples are f32 in any layout: every operation is elementwise.

mod config;
mod ddim;
mod dpm2;
mod dpmpp_2m;
mod dpmpp_2s_a;
mod dpmpp_sde;
mod error;
mod euler;
mod euler_a;
mod heun;
mod kind;
mod lcm;
mod lms;
mod noise;
mod pndm;
mod properties;
mod schedule;
mod solver;
mod spacing;
mod tcd;
mod unipc;

use crate::num::{to_f32, to_index};
use serde::{Deserialize, Serialize};

pub use config::{BetaSchedule, PredictionType, ScheduleConfig};
pub use error::ScheduleError;
pub use kind::SamplerKind;
pub use noise::{PhiloxNoise, TorchNoise};
use properties::Properties;
use schedule::Schedule;
use solver::{CallContext, SamplerRun, Solver, weighted_sum};
pub use spacing::{SigmaSpacing, TimestepSpacing};

/// Options of a run that override the model's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerOptions {
    /// Noise added per step, 0 to 1, for DDIM (default 0; 1 is DDPM), TCD (default 0.3), DPM++ SDE and the
    /// ancestral samplers (default 1).
    pub eta: Option<f64>,
    /// Spacing of the noise levels, instead of the model's.
    pub sigma_spacing: Option<SigmaSpacing>,
    /// Selection of timesteps, instead of the model's.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// Whether the model is SDXL, for which "Align Your Steps" has separate levels.
    pub is_xl: bool,
}

/// State of one sampling run.
pub struct Sampler {
    properties: &'static Properties,
    timesteps: Vec<f32>,
    calls: CallContext,
    init_noise_sigma: f32,
    steps: usize,
    solver: Box<dyn Solver>,
}

impl Sampler {
    /// Creates a sampler for a run of `steps` steps.
    ///
    /// # Errors
    /// [`ScheduleError`] if the schedule or the number of steps is not supported.
    pub fn new(
        kind: SamplerKind,
        config: &ScheduleConfig,
        steps: usize,
        options: &SamplerOptions,
    ) -> Result<Self, ScheduleError> {
        let row = kind.row();
        let properties = &row.properties;
        config.check_steps(properties, steps)?;
        (row.check)(config)?;
        if let Some(eta) = options.eta.filter(|eta| !(0.0..=1.0).contains(eta)) {
            return Err(ScheduleError::Eta(eta));
        }
        if options.eta.is_some() && properties.eta.is_none() {
            return Err(ScheduleError::NoEta { sampler: properties.name });
        }
        let schedule = Schedule::new(properties, config, options)?;
        let eta = options.eta.or(properties.eta).unwrap_or(0.0);
        let (solver, noise_schedule) = (row.start)(&SamplerRun { schedule: &schedule, config, steps, eta });
        let max_sigma = noise_schedule.levels.iter().map(|level| level.sigma_ratio()).fold(0.0, f64::max);
        let init_noise_sigma = match schedule.spacing {
            _ if schedule.has_web_ui_spacing() && properties.is_variance_exploding => max_sigma,
            _ if schedule.has_web_ui_spacing() => noise_schedule.levels[0].sigma,
            _ if !properties.is_variance_exploding => 1.0,
            TimestepSpacing::Leading => (max_sigma * max_sigma + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max_sigma,
        };
        Ok(Self {
            properties,
            timesteps: noise_schedule.timesteps.iter().map(|t| to_f32(*t)).collect(),
            calls: CallContext {
                levels: noise_schedule.levels,
                prediction: schedule.prediction,
                is_variance_exploding: properties.is_variance_exploding,
            },
            init_noise_sigma: to_f32(init_noise_sigma),
            steps,
            solver,
        })
    }

    /// Returns the timestep of each model call; fractional for some samplers. There may be more calls than
    /// steps.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// Returns the noise level σ (relative to an unscaled x₀) of the sample at each model call and at the end.
    pub fn sigmas(&self) -> Vec<f32> {
        self.calls.levels.iter().map(|level| to_f32(level.sigma_ratio())).collect()
    }

    /// Returns the standard deviation of the initial noise.
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// Returns the first model call of an image-to-image run of `strength` (1 = from pure noise, 0 = no calls).
    pub fn start_index(&self, strength: f64) -> usize {
        let kept = to_index(self.steps as f64 * strength).min(self.steps);
        ((self.steps - kept) * self.properties.calls_per_step).min(self.timesteps.len())
    }

    /// Returns the network's input at call `i` (diffusers' `scale_model_input`).
    pub fn scale_input(&self, i: usize, sample: &[f32]) -> Vec<f32> {
        let factor = if self.properties.is_variance_exploding { self.calls.levels[i].alpha } else { 1.0 };
        weighted_sum(&[(factor, sample)])
    }

    /// Noises a clean sample to the level of call `start_index`.
    pub fn add_noise(&self, clean: &[f32], noise: &[f32], start_index: usize) -> Vec<f32> {
        let is_between_calls = start_index % self.properties.calls_per_step == 1;
        let skipped = usize::from(is_between_calls && self.properties.starts_at_end_of_step);
        let level = self.calls.levels[start_index + skipped];
        let scale = if self.properties.is_variance_exploding { 1.0 / level.alpha } else { 1.0 };
        weighted_sum(&[(level.alpha * scale, clean), (level.sigma * scale, noise)])
    }

    /// Returns the clean sample x₀ that the network's output implies at call `i`.
    pub fn predicted_x0(&self, i: usize, model_output: &[f32], sample: &[f32]) -> Vec<f32> {
        self.calls.call(i, model_output, sample).clean()
    }

    /// Returns the next sample after call `i`, from the network's output and the unscaled sample of that call.
    ///
    /// Must be called in order, from call 0 or from the start index of an image-to-image run. `noise(n)`
    /// returns the next `n` normal values; deterministic samplers never call it.
    pub fn step(
        &mut self,
        i: usize,
        model_output: &[f32],
        sample: &[f32],
        noise: &mut dyn FnMut(usize) -> Vec<f32>,
    ) -> Vec<f32> {
        self.solver.step(&self.calls.call(i, model_output, sample), noise)
    }
}
