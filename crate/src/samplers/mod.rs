//! Turns a network's outputs, call by call, into less and less noisy samples.
//!
//! A [`Sampler`] is made for one run: a kind, a model's noise schedule and a number of steps. Kinds
//! differ only in their `step`, one file each; how samples are scaled is shared. Results follow
//! diffusers 0.42: the same timesteps, the same arithmetic in the same order of noise draws.
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
mod schedule;
mod spacing;
mod tcd;
mod unipc;

use crate::num::{to_f32, to_index};
use serde::{Deserialize, Serialize};

pub use config::{BetaSchedule, PredictionType, ScheduleConfig, TimestepSpacing};
pub use error::ScheduleError;
pub use kind::SamplerKind;
pub use noise::{PhiloxNoise, TorchNoise};
use schedule::{Level, Schedule};
pub use spacing::SigmaSpacing;

/// What a run asks for beyond the model's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SamplerOptions {
    /// Share of fresh noise, 0 to 1, in the steps of DDIM (0 unless given; 1 = as much as DDPM),
    /// TCD (0.3 unless given) and the ancestral samplers (1 unless given).
    pub eta: Option<f64>,
    /// Spacing of the noise levels, in place of the model's.
    pub sigma_spacing: Option<SigmaSpacing>,
    /// Choice of timesteps, in place of the model's.
    pub timestep_spacing: Option<TimestepSpacing>,
    /// The model is SDXL, for which "Align Your Steps" has levels of its own.
    pub is_xl: bool,
}

/// One run of a sampler: what the network is told at each call, and what its output makes of the sample.
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
    /// Plans a run of `steps` steps.
    ///
    /// # Errors
    /// [`ScheduleError`] when the schedule or the number of steps is not supported.
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
        let fresh = options.eta.unwrap_or(1.0);
        let schedule = Schedule::new(kind, config, options)?;
        let (solver, track) = match kind {
            SamplerKind::Ddim => {
                let (ddim, track) = ddim::Ddim::new(&schedule, config, steps, options.eta.unwrap_or(0.0));
                (Solver::Ddim(ddim), track)
            }
            SamplerKind::Pndm => {
                let (pndm, track) = pndm::Pndm::new(&schedule, steps);
                (Solver::Pndm(pndm), track)
            }
            SamplerKind::Lcm => {
                let (lcm, track) = lcm::Lcm::new(&schedule, config, steps);
                (Solver::Lcm(lcm), track)
            }
            SamplerKind::Tcd => {
                let (tcd, track) = tcd::Tcd::new(&schedule, config, steps, options.eta.unwrap_or(0.3));
                (Solver::Tcd(tcd), track)
            }
            SamplerKind::Euler => (Solver::Euler, schedule.sigma_track(steps)),
            SamplerKind::EulerA => (Solver::EulerA(fresh), schedule.sigma_track(steps)),
            SamplerKind::Heun => (Solver::Heun(heun::Heun::default()), schedule.sigma_track(steps).doubled()),
            SamplerKind::Dpm2 => {
                (Solver::Dpm2(dpm2::Dpm2::new(None)), schedule.midpoint_track(steps, &dpm2::middle, true))
            }
            SamplerKind::Dpm2A => {
                let middle = dpm2::ancestral_middle(fresh);
                (Solver::Dpm2(dpm2::Dpm2::new(Some(fresh))), schedule.midpoint_track(steps, &middle, true))
            }
            SamplerKind::Dpmpp2sA => {
                let middle = dpm2::ancestral_middle(fresh);
                let solver = dpmpp_2s_a::Dpmpp2sA::new(fresh);
                (Solver::Dpmpp2sA(solver), schedule.midpoint_track(steps, &middle, false))
            }
            SamplerKind::DpmppSde => {
                let solver = dpmpp_sde::DpmppSde::new(fresh);
                (Solver::DpmppSde(solver), schedule.midpoint_track(steps, &dpm2::middle, false))
            }
            SamplerKind::Lms => (Solver::Lms(lms::Lms::default()), schedule.sigma_track(steps)),
            SamplerKind::Dpmpp2m => (Solver::Dpmpp2m(dpmpp_2m::Dpmpp2m::new(false)), schedule.lambda_track(steps)),
            SamplerKind::Dpmpp2mSde => (Solver::Dpmpp2m(dpmpp_2m::Dpmpp2m::new(true)), schedule.lambda_track(steps)),
            SamplerKind::UniPc => (Solver::UniPc(unipc::UniPc::default()), schedule.lambda_track(steps)),
        };
        let max = track.levels.iter().map(|level| level.sigma_ratio()).fold(0.0, f64::max);
        let init_noise_sigma = match schedule.spacing {
            _ if schedule.is_of_web_uis() && kind.is_variance_exploding() => max,
            _ if schedule.is_of_web_uis() => track.levels[0].sigma,
            _ if !kind.is_variance_exploding() => 1.0,
            TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
            TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
        };
        Ok(Self {
            timesteps: track.timesteps.iter().map(|t| to_f32(*t)).collect(),
            levels: track.levels,
            prediction: schedule.prediction,
            variance_exploding: kind.is_variance_exploding(),
            init_noise_sigma: to_f32(init_noise_sigma),
            steps,
            calls_per_step: kind.calls_per_step(),
            solver,
        })
    }

    /// The timestep that the network is told, one per model call; fractional for some samplers.
    /// There may be more calls than steps.
    pub fn timesteps(&self) -> &[f32] {
        &self.timesteps
    }

    /// Noise level σ of the sample at each model call, for a clean part of scale 1, and at the end.
    pub fn sigmas(&self) -> Vec<f32> {
        self.levels.iter().map(|level| to_f32(level.sigma_ratio())).collect()
    }

    /// Factor for unit noise that gives the first sample.
    pub fn init_noise_sigma(&self) -> f32 {
        self.init_noise_sigma
    }

    /// First model call of an image-to-image run of `strength` (1 = from pure noise, 0 = no calls).
    pub fn start_index(&self, strength: f64) -> usize {
        let kept = to_index(self.steps as f64 * strength).min(self.steps);
        ((self.steps - kept) * self.calls_per_step).min(self.timesteps.len())
    }

    /// What the network reads at call `i` in place of the sample.
    pub fn scale_input(&self, i: usize, sample: &[f32]) -> Vec<f32> {
        let factor = if self.variance_exploding { self.levels[i].alpha } else { 1.0 };
        weighted_sum(&[(factor, sample)])
    }

    /// A clean sample with noise, as it stands at call `start_index`.
    pub fn add_noise(&self, clean: &[f32], noise: &[f32], start_index: usize) -> Vec<f32> {
        // Between DPM2's two calls diffusers takes the level at the end of the step.
        let is_between = start_index % 2 == 1 && matches!(&self.solver, Solver::Dpm2(dpm2) if dpm2.is_deterministic());
        let level = self.levels[start_index + usize::from(is_between)];
        let scale = if self.variance_exploding { 1.0 / level.alpha } else { 1.0 };
        weighted_sum(&[(level.alpha * scale, clean), (level.sigma * scale, noise)])
    }

    /// The clean sample that the network's output means at call `i`.
    pub fn clean(&self, i: usize, model_output: &[f32], sample: &[f32]) -> Vec<f32> {
        self.call(i, model_output, sample).clean()
    }

    fn call<'a>(&'a self, i: usize, output: &'a [f32], sample: &'a [f32]) -> Call<'a> {
        let Sampler { levels, prediction, variance_exploding: exploding, .. } = self;
        Call { index: i, levels, prediction: *prediction, exploding: *exploding, output, sample }
    }

    /// The next sample after call `i`, from the network's output and the sample (unscaled) of that call.
    ///
    /// Calls come in order, one `Sampler` for one run, from 0 or from the start index of an image-to-image run. `noise(n)` gives
    /// the next `n` normal values; a sampler that needs none never asks.
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

/// One model call as the solvers see it.
struct Call<'a> {
    index: usize,
    levels: &'a [Level],
    prediction: PredictionType,
    exploding: bool,
    output: &'a [f32],
    sample: &'a [f32],
}

impl Call<'_> {
    /// Level of the sample of this call.
    fn level(&self) -> Level {
        self.levels[self.index]
    }

    /// Level of the sample of the next call.
    fn next_level(&self) -> Level {
        self.levels[self.index + 1]
    }

    /// Whether no call follows.
    fn is_last(&self) -> bool {
        self.index + 2 == self.levels.len()
    }

    /// The clean sample that the network sees.
    fn clean(&self) -> Vec<f32> {
        let (of_sample, of_output) = self.prediction.clean_weights(self.level());
        weighted_sum(&[(of_sample * self.sample_scale(), self.sample), (of_output, self.output)])
    }

    /// The noise that the network sees, which is also the slope over σ of a sample clean + σ·noise.
    fn noise(&self) -> Vec<f32> {
        let (of_sample, of_output) = self.prediction.noise_weights(self.level());
        weighted_sum(&[(of_sample * self.sample_scale(), self.sample), (of_output, self.output)])
    }

    /// Factor that makes the sample one of variance 1.
    fn sample_scale(&self) -> f64 {
        if self.exploding { self.level().alpha } else { 1.0 }
    }
}

/// Σ weight · tensor, elementwise in f32.
fn weighted_sum(terms: &[(f64, &[f32])]) -> Vec<f32> {
    let mut sum = vec![0.0; terms[0].1.len()];
    for (weight, tensor) in terms.iter().filter(|term| term.0 != 0.0) {
        let weight = to_f32(*weight);
        sum.iter_mut().zip(*tensor).for_each(|(sum, value)| *sum += weight * value);
    }
    sum
}

/// Limits every value to ± `range`, if there is one.
fn clip(tensor: &mut [f32], range: Option<f32>) {
    if let Some(range) = range {
        tensor.iter_mut().for_each(|value| *value = value.clamp(-range, range));
    }
}
