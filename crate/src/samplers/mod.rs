//! Diffusion samplers: noise schedule, and network output and sample of each call -> next sample.
//!
//! A [`Sampler`] is created for one run from a kind, a model's noise schedule and a number of steps. Kinds
//! differ only in their `step`, in one file each; scaling of the samples is shared. Results match
//! diffusers 0.42: the same timesteps and arithmetic, with noise drawn in the same order.
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
mod parse;
mod pndm;
mod schedule;
mod spacing;
mod tcd;
mod unipc;

use crate::num::{to_f32, to_index};
use serde::{Deserialize, Serialize};

pub use config::{BetaSchedule, PredictionType, ScheduleConfig};
pub use error::ScheduleError;
pub use kind::SamplerKind;
pub use noise::{PhiloxNoise, TorchNoise};
use schedule::{Level, Schedule};
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
    timesteps: Vec<f32>,
    levels: Vec<Level>,
    prediction: PredictionType,
    variance_exploding: bool,
    init_noise_sigma: f32,
    steps: usize,
    calls_per_step: usize,
    solver: Solver,
}

enum Solver {
    Ddim(ddim::Ddim),
    Euler,
    EulerA(f64),
    Dpmpp2m(dpmpp_2m::Dpmpp2m),
    Dpmpp2sA(dpmpp_2s_a::Dpmpp2sA),
    DpmppSde(dpmpp_sde::DpmppSde),
    Heun(heun::Heun),
    Dpm2(dpm2::Dpm2),
    Lms(lms::Lms),
    Pndm(pndm::Pndm),
    UniPc(unipc::UniPc),
    Lcm(lcm::Lcm),
    Tcd(tcd::Tcd),
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
        config.check(kind, steps)?;
        if let Some(eta) = options.eta.filter(|eta| !(0.0..=1.0).contains(eta)) {
            return Err(ScheduleError::Eta(eta));
        }
        if options.eta.is_some() && !kind.has_eta() {
            return Err(ScheduleError::NoEta { kind });
        }
        let eta = options.eta.unwrap_or(1.0);
        let schedule = Schedule::new(kind, config, options)?;
        let (solver, noise_schedule) = match kind {
            SamplerKind::Ddim => {
                let (ddim, noise_schedule) = ddim::Ddim::new(&schedule, config, steps, options.eta.unwrap_or(0.0));
                (Solver::Ddim(ddim), noise_schedule)
            }
            SamplerKind::Pndm => {
                let (pndm, noise_schedule) = pndm::Pndm::new(&schedule, steps);
                (Solver::Pndm(pndm), noise_schedule)
            }
            SamplerKind::Lcm => {
                let (lcm, noise_schedule) = lcm::Lcm::new(&schedule, config, steps);
                (Solver::Lcm(lcm), noise_schedule)
            }
            SamplerKind::Tcd => {
                let (tcd, noise_schedule) = tcd::Tcd::new(&schedule, config, steps, options.eta.unwrap_or(0.3));
                (Solver::Tcd(tcd), noise_schedule)
            }
            SamplerKind::Euler => (Solver::Euler, schedule.sigma_schedule(steps)),
            SamplerKind::EulerA => (Solver::EulerA(eta), schedule.sigma_schedule(steps)),
            SamplerKind::Heun => (Solver::Heun(heun::Heun::default()), schedule.sigma_schedule(steps).doubled()),
            SamplerKind::Dpm2 => {
                (Solver::Dpm2(dpm2::Dpm2::new(None)), schedule.midpoint_schedule(steps, &dpm2::midpoint_sigma, true))
            }
            SamplerKind::Dpm2A => {
                let middle = dpm2::ancestral_midpoint_sigma(eta);
                (Solver::Dpm2(dpm2::Dpm2::new(Some(eta))), schedule.midpoint_schedule(steps, &middle, true))
            }
            SamplerKind::Dpmpp2sA => {
                let middle = dpm2::ancestral_midpoint_sigma(eta);
                let solver = dpmpp_2s_a::Dpmpp2sA::new(eta);
                (Solver::Dpmpp2sA(solver), schedule.midpoint_schedule(steps, &middle, false))
            }
            SamplerKind::DpmppSde => {
                let solver = dpmpp_sde::DpmppSde::new(eta);
                (Solver::DpmppSde(solver), schedule.midpoint_schedule(steps, &dpm2::midpoint_sigma, false))
            }
            SamplerKind::Lms => (Solver::Lms(lms::Lms::default()), schedule.sigma_schedule(steps)),
            SamplerKind::Dpmpp2m => (Solver::Dpmpp2m(dpmpp_2m::Dpmpp2m::new(false)), schedule.lambda_schedule(steps)),
            SamplerKind::Dpmpp2mSde => (Solver::Dpmpp2m(dpmpp_2m::Dpmpp2m::new(true)), schedule.lambda_schedule(steps)),
            SamplerKind::UniPc => (Solver::UniPc(unipc::UniPc::default()), schedule.lambda_schedule(steps)),
        };
        let max_sigma = noise_schedule.levels.iter().map(|level| level.sigma_ratio()).fold(0.0, f64::max);
        let init_noise_sigma = match schedule.spacing {
            _ if schedule.has_web_ui_spacing() && kind.is_variance_exploding() => max_sigma,
            _ if schedule.has_web_ui_spacing() => noise_schedule.levels[0].sigma,
            _ if !kind.is_variance_exploding() => 1.0,
            TimestepSpacing::Leading => (max_sigma * max_sigma + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max_sigma,
        };
        Ok(Self {
            timesteps: noise_schedule.timesteps.iter().map(|t| to_f32(*t)).collect(),
            levels: noise_schedule.levels,
            prediction: schedule.prediction,
            variance_exploding: kind.is_variance_exploding(),
            init_noise_sigma: to_f32(init_noise_sigma),
            steps,
            calls_per_step: kind.calls_per_step(),
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
        self.levels.iter().map(|level| to_f32(level.sigma_ratio())).collect()
    }

    /// Returns the standard deviation of the initial noise.
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// Returns the first model call of an image-to-image run of `strength` (1 = from pure noise, 0 = no calls).
    pub fn start_index(&self, strength: f64) -> usize {
        let kept = to_index(self.steps as f64 * strength).min(self.steps);
        ((self.steps - kept) * self.calls_per_step).min(self.timesteps.len())
    }

    /// Returns the network's input at call `i` (diffusers' `scale_model_input`).
    pub fn scale_input(&self, i: usize, sample: &[f32]) -> Vec<f32> {
        let factor = if self.variance_exploding { self.levels[i].alpha } else { 1.0 };
        weighted_sum(&[(factor, sample)])
    }

    /// Noises a clean sample to the level of call `start_index`.
    pub fn add_noise(&self, clean: &[f32], noise: &[f32], start_index: usize) -> Vec<f32> {
        // Between DPM2's two calls diffusers uses the level at the end of the step.
        let is_between = start_index % 2 == 1 && matches!(&self.solver, Solver::Dpm2(dpm2) if dpm2.is_deterministic());
        let level = self.levels[start_index + usize::from(is_between)];
        let scale = if self.variance_exploding { 1.0 / level.alpha } else { 1.0 };
        weighted_sum(&[(level.alpha * scale, clean), (level.sigma * scale, noise)])
    }

    /// Returns the clean sample x₀ that the network's output implies at call `i`.
    pub fn predicted_x0(&self, i: usize, model_output: &[f32], sample: &[f32]) -> Vec<f32> {
        self.call(i, model_output, sample).clean()
    }

    fn call<'a>(&'a self, i: usize, output: &'a [f32], sample: &'a [f32]) -> Call<'a> {
        let Sampler { levels, prediction, variance_exploding: exploding, .. } = self;
        Call { index: i, levels, prediction: *prediction, exploding: *exploding, output, sample }
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
        let call = Call {
            index: i,
            levels: &self.levels,
            prediction: self.prediction,
            exploding: self.variance_exploding,
            output: model_output,
            sample,
        };
        match &mut self.solver {
            Solver::Ddim(ddim) => ddim.step(&call, noise),
            Solver::Euler => euler::step(&call),
            Solver::EulerA(eta) => euler_a::step(&call, *eta, noise),
            Solver::Dpmpp2m(dpmpp_2m) => dpmpp_2m.step(&call, noise),
            Solver::Dpmpp2sA(dpmpp_2s_a) => dpmpp_2s_a.step(&call, noise),
            Solver::DpmppSde(dpmpp_sde) => dpmpp_sde.step(&call, noise),
            Solver::Heun(heun) => heun.step(&call),
            Solver::Dpm2(dpm2) => dpm2.step(&call, noise),
            Solver::Lms(lms) => lms.step(&call),
            Solver::Pndm(pndm) => pndm.step(&call),
            Solver::UniPc(unipc) => unipc.step(&call),
            Solver::Lcm(lcm) => lcm.step(&call, noise),
            Solver::Tcd(tcd) => tcd.step(&call, noise),
        }
    }
}

/// One model call, as input of the solvers.
struct Call<'a> {
    index: usize,
    levels: &'a [Level],
    prediction: PredictionType,
    exploding: bool,
    output: &'a [f32],
    sample: &'a [f32],
}

impl Call<'_> {
    /// Returns the noise level of this call's sample.
    fn level(&self) -> Level {
        self.levels[self.index]
    }

    /// Returns the noise level of the next call's sample.
    fn next_level(&self) -> Level {
        self.levels[self.index + 1]
    }

    /// Returns whether this is the last call.
    fn is_last(&self) -> bool {
        self.index + 2 == self.levels.len()
    }

    /// Returns the network's prediction of the clean sample x₀.
    fn clean(&self) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.x0_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, self.output)])
    }

    /// Returns the network's prediction of the noise, which is also dx/dσ of a sample x = x₀ + σ·noise.
    fn noise(&self) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.noise_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, self.output)])
    }

    /// Returns the factor that scales the sample to unit variance.
    fn sample_scale(&self) -> f64 {
        if self.exploding { self.level().alpha } else { 1.0 }
    }
}

/// Computes Σ weight · tensor elementwise in f32.
fn weighted_sum(terms: &[(f64, &[f32])]) -> Vec<f32> {
    let mut sum = vec![0.0; terms[0].1.len()];
    for (weight, tensor) in terms.iter().filter(|term| term.0 != 0.0) {
        let weight = to_f32(*weight);
        sum.iter_mut().zip(*tensor).for_each(|(sum, value)| *sum += weight * value);
    }
    sum
}

/// Clips every value to ± `range`, if any.
fn clip(tensor: &mut [f32], range: Option<f32>) {
    if let Some(range) = range {
        tensor.iter_mut().for_each(|value| *value = value.clamp(-range, range));
    }
}
