//! DPM2 and DPM2 ancestral: an Euler step to the midpoint, then the full step with the derivative there.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
//! and k-diffusion's DPM2 samplers, which put the midpoint halfway in log σ.

use super::churn::Churn;
use super::euler_a::ancestral_step;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::Level;
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;
use crate::num::to_f32;

pub(super) const DPM2: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        starts_at_end_of_step: true,
        ..Properties::two_calls("dpm2", "DPM2")
    },
    start,
);

fn start(run: &SamplerRun) -> Started {
    let churn = Churn::of(run);
    let calls = match &churn {
        Some(churn) => churn.schedule(run.schedule, Some(&midpoint_sigma)),
        None if run.schedule.is_of_web_ui() => {
            run.schedule.midpoint_schedule(run.steps, &rounded_midpoint_sigma, false)
        }
        None => run.schedule.midpoint_schedule(run.steps, &midpoint_sigma, true),
    };
    (Box::new(Dpm2 { churn, ..Dpm2::new(None, 1.0) }), calls)
}

pub(super) const DPM2_A: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Karras),
        eta: Some(1.0),
        ..Properties::two_calls("dpm2_a", "DPM2 a")
    },
    |run| {
        let middle = ancestral_midpoint_sigma(run, mean_from_end);
        (
            Box::new(Dpm2::new(Some(run.eta), run.noise_scale())),
            run.schedule.midpoint_schedule(run.steps, &middle, true),
        )
    },
);

/// Returns σ at the midpoint of a step.
pub(super) fn midpoint_sigma(from: Level, to: Level) -> f64 {
    (from.sigma_ratio() * to.sigma_ratio()).sqrt()
}

/// The mean of two ln σ as PyTorch's `lerp` rounds it.
fn mean_from_end(start: f32, end: f32) -> f32 {
    end - (end - start) * 0.5
}

/// Returns σ at the midpoint of a step, computed in f32 as in the web UIs: the nearest whole timestep may be another one
/// at another rounding.
fn rounded_midpoint_sigma(from: Level, to: Level) -> f64 {
    let log = |level: Level| to_f32(level.sigma_ratio()).ln();
    f64::from(mean_from_end(log(from), log(to)).exp())
}

/// Returns σ at the midpoint of an ancestral step, which goes down to `sigma_down`, below its end; in the web UIs
/// computed in f32 with this `mean` of both ln σ.
pub(super) fn ancestral_midpoint_sigma(
    run: &SamplerRun,
    mean: fn(f32, f32) -> f32,
) -> impl Fn(Level, Level) -> f64 + use<> {
    let (eta, is_rounded) = (run.eta, run.schedule.is_of_web_ui());
    move |from, to| {
        if !is_rounded {
            return (from.sigma_ratio() * ancestral_step(from, to, eta).0).sqrt();
        }
        let (from, to) = (to_f32(from.sigma_ratio()), to_f32(to.sigma_ratio()));
        let up = (to_f32(eta) * (to * to * (from * from - to * to) / (from * from)).sqrt()).min(to);
        let down = (to * to - up * up).sqrt();
        f64::from(mean(from.ln(), down.ln()).exp())
    }
}

/// The mean of two ln σ as k-diffusion's DPM++ samplers round it.
pub(super) fn mean_from_start(start: f32, end: f32) -> f32 {
    start - 0.5 * (start - end)
}

struct Dpm2 {
    /// Eta of the ancestral sampler; `None` for the deterministic one.
    eta: Option<f64>,
    noise_scale: f64,
    churn: Option<Churn>,
    /// Sample at the start of the step, between its two calls.
    start: Option<Vec<f32>>,
}

impl Dpm2 {
    fn new(eta: Option<f64>, noise_scale: f64) -> Self {
        Self { eta, noise_scale, churn: None, start: None }
    }
}

impl Solver for Dpm2 {
    fn begin(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        match &self.churn {
            Some(churn) => churn.raise(sample, noise),
            None => sample,
        }
    }

    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let derivative = call.noise();
        let to = call.next_level();
        let Some(start) = self.start.take() else {
            if !call.is_last() {
                self.start = Some(call.sample.to_vec());
            }
            return weighted_sum(&[(1.0, call.sample), (to.sigma_ratio() - call.level().sigma_ratio(), &derivative)]);
        };
        let from = call.levels[call.index - 1];
        if let Some(churn) = &mut self.churn {
            let next = weighted_sum(&[(1.0, &start), (churn.end() - from.sigma_ratio(), &derivative)]);
            return churn.finish(next, noise);
        }
        let Some(eta) = self.eta else {
            return weighted_sum(&[(1.0, &start), (to.sigma_ratio() - from.sigma_ratio(), &derivative)]);
        };
        let (sigma_down, sigma_up) = ancestral_step(from, to, eta);
        weighted_sum(&[
            (1.0, &start),
            (sigma_down - from.sigma_ratio(), &derivative),
            (sigma_up * self.noise_scale, &noise.next(start.len())),
        ])
    }
}
