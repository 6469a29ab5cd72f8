//! Diffusion samplers: noise schedule, and network output and sample of each call -> next sample.
//!
//! A [`Sampler`] is created for one run from a kind, a model's noise schedule and a number of steps. Each kind
//! has its properties, its choice of noise levels and its arithmetic in one file, and a line in `kind.rs`; scaling
//! of the samples is shared. Results match diffusers 0.42, AUTOMATIC1111's web UI 1.10 or ComfyUI: the same timesteps
//! and arithmetic, with noise drawn in the same order. `programs/` has what the web UIs do differently.
//!
//! Samples are f32 in any layout: every operation is elementwise.

mod brownian;
mod cfg_pp;
mod churn;
mod config;
mod ddim;
mod ddpm;
mod deis;
mod dpm2;
mod dpm_adaptive;
mod dpm_fast;
mod dpm_solver;
mod dpmpp_2m;
mod dpmpp_2s_a;
mod dpmpp_3m_sde;
mod dpmpp_sde;
mod er_sde;
mod error;
mod euler;
mod euler_a;
mod gradient_estimation;
mod heun;
mod heunpp2;
mod ipndm;
mod kind;
mod lcm;
mod lcm_web_ui;
mod lms;
mod noise;
mod pndm;
mod programs;
mod properties;
mod res_multistep;
mod restart;
mod sa_solver;
mod schedule;
mod seed_sequence;
mod seeds;
mod solver;
mod spacing;
mod tcd;
mod training;
mod unipc;

use crate::num::{to_f32, to_index};
use crate::program::Program;
use serde::{Deserialize, Serialize};

pub use brownian::BrownianPath;
pub use config::{BetaSchedule, PredictionType, ScheduleConfig};
pub use error::ScheduleError;
pub use kind::SamplerKind;
pub use noise::{NoiseSource, PhiloxNoise, TorchNoise};
pub use programs::{NoiseRules, WebUiSettings};
use properties::Properties;
use schedule::{Level, Schedule};
pub use seed_sequence::seed_words;
pub use solver::Outputs;
use solver::{CallContext, SamplerRun, Solver, weighted_sum};
pub use spacing::{SigmaSpacing, TimestepSpacing};

/// Options of a run: the program whose arithmetic it has, and what overrides the model's schedule.
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
    /// Program whose image the run reproduces. Samplers that it does not have run as in diffusers.
    pub program: Program,
    /// Denoising strength of an image-to-image run, which decides the web UIs' schedules.
    pub strength: Option<f64>,
    /// Whether the run is the second pass of Hires. fix.
    pub is_second_pass: bool,
    /// Settings of A1111's web UI.
    pub settings: WebUiSettings,
}

/// State of one sampling run.
pub struct Sampler {
    properties: &'static Properties,
    timesteps: Vec<f32>,
    calls: CallContext,
    init_noise_sigma: f32,
    steps: usize,
    /// Weights of an init image's latents and of the noise in the initial sample, in a web UI's run.
    start_weights: Option<(f64, f64)>,
    /// Factor that scales the last sample to x₀ + σ·noise, in a web UI's run in σ.
    end_scale: f64,
    /// Range of σ of the noise's Brownian path, in a web UI's run in σ.
    noise_range: Option<(f64, f64)>,
    solver: Box<dyn Solver>,
    schedule: Schedule,
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
        let row = kind.row_in(options.program);
        let properties = &row.properties;
        config.check_steps(properties, steps)?;
        if let Some(eta) = options.eta.filter(|eta| !(0.0..=1.0).contains(eta)) {
            return Err(ScheduleError::Eta(eta));
        }
        if options.eta.is_some() && properties.eta.is_none() {
            return Err(ScheduleError::NoEta { sampler: properties.name });
        }
        let schedule = Schedule::new(properties, config, options, steps)?;
        if !schedule.is_of_web_ui() {
            (row.check)(config)?;
        }
        let eta = options.eta.or(properties.eta).unwrap_or(0.0);
        let settings = if options.program == Program::A1111 { options.settings } else { WebUiSettings::default() };
        let (solver, noise_schedule) = (row.start)(&SamplerRun { schedule: &schedule, config, steps, eta, settings });
        let max_sigma = noise_schedule.levels.iter().map(|level| level.sigma_ratio()).fold(0.0, f64::max);
        let extra_noise = settings.extra_noise.filter(|_| options.strength.is_some()).unwrap_or(0.0);
        let start_weights =
            start_weights(&schedule, properties.is_variance_exploding, &noise_schedule.levels, extra_noise);
        let end = noise_schedule.levels.last().map_or(1.0, |level| level.alpha);
        let is_scaled = schedule.web_ui_sigmas().is_some() && !properties.is_variance_exploding;
        let init_noise_sigma = match schedule.spacing {
            _ if start_weights.is_some() => start_weights.map_or(1.0, |weights| weights.1),
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
            start_weights,
            end_scale: if is_scaled { 1.0 / end } else { 1.0 },
            noise_range: schedule.web_ui_sigmas().map(|sigmas| sigmas.range),
            solver,
            schedule,
        })
    }

    /// Returns the range of σ of the Brownian path that the samplers of SDEs take their noise from; `None` if it is
    /// independent.
    pub fn noise_range(&self) -> Option<(f64, f64)> {
        self.noise_range
    }

    /// Returns the sample at call `start_index` from its noise and, in image-to-image runs, the clean latents.
    pub fn start(&self, clean: Option<&[f32]>, noise: &[f32], start_index: usize) -> Vec<f32> {
        match (clean, self.start_weights) {
            (None, _) => weighted_sum(&[(f64::from(self.init_noise_sigma), noise)]),
            (Some(clean), Some((clean_weight, noise_weight))) => {
                weighted_sum(&[(clean_weight, clean), (noise_weight, noise)])
            }
            (Some(clean), None) => self.add_noise(clean, noise, start_index),
        }
    }

    /// Returns the sample of the first call from that of [`start`](Self::start): some samplers add noise before a step.
    pub fn begin(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        self.solver.begin(sample, noise)
    }

    /// Returns the timestep of each model call; fractional for some samplers. There may be more calls than steps, and
    /// a sampler that chooses its steps adds calls while it runs.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// Returns the noise level σ (relative to an unscaled x₀) of the sample at each model call and at the end.
    pub fn sigmas(&self) -> Vec<f32> {
        self.calls.levels.iter().map(|level| to_f32(level.sigma_ratio())).collect()
    }

    /// Returns what the web UI compares with its limits of σ: σ at call `i`, or the timestep if the sampler steps in
    /// timesteps.
    pub fn web_ui_sigma(&self, i: usize) -> f64 {
        match self.schedule.web_ui_timesteps() {
            Some(_) => f64::from(self.timesteps[i]),
            None => self.calls.levels[i].sigma_ratio(),
        }
    }

    /// Returns the standard deviation of the initial noise.
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// Returns the first model call of an image-to-image run of `strength` (1 = from pure noise, 0 = no calls).
    ///
    /// The web UIs plan the run from there on.
    pub fn start_index(&self, strength: f64) -> usize {
        if self.start_weights.is_some() {
            return 0;
        }
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
        self.calls.call(i, model_output.into(), sample).clean()
    }

    /// Returns the next sample after call `i`, from the network's outputs and the unscaled sample of that call.
    ///
    /// Must be called in order, from call 0 or from the start index of an image-to-image run. Deterministic
    /// samplers take no noise.
    pub fn step<'a>(
        &mut self,
        i: usize,
        outputs: impl Into<Outputs<'a>>,
        sample: &'a [f32],
        noise: &mut dyn NoiseSource,
    ) -> Vec<f32> {
        let next = self.solver.step(&self.calls.call(i, outputs.into(), sample), noise);
        if let Some(sigma) = self.solver.chosen_sigma() {
            let at = self.calls.levels.len() - 1;
            self.timesteps.push(to_f32(self.schedule.timestep_of(sigma)));
            self.calls.levels.insert(at, Level::from_sigma(sigma));
        }
        if self.end_scale != 1.0 && i + 1 == self.timesteps.len() {
            return weighted_sum(&[(self.end_scale, &next)]);
        }
        next
    }
}

/// Returns the weights of an init image's latents and of the noise in a web UI's initial sample; `None` in diffusers.
/// `extra_noise` is added to the latents, in multiples of the noise.
fn start_weights(
    schedule: &Schedule,
    is_variance_exploding: bool,
    levels: &[Level],
    extra_noise: f64,
) -> Option<(f64, f64)> {
    if let Some(sigmas) = schedule.web_ui_sigmas() {
        let scale = if is_variance_exploding { 1.0 } else { levels.first().map_or(1.0, |level| level.alpha) };
        return Some((scale, scale * (sigmas.initial_noise + extra_noise)));
    }
    let start = schedule.web_ui_timesteps()?.start.map(|timestep| schedule.level(timestep));
    Some(start.map_or((0.0, 1.0), |level| (level.alpha, level.sigma + level.alpha * extra_noise)))
}
