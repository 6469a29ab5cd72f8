//! Heun's method: an Euler step, then the same step with the mean of both derivatives.
//!
//! Source: Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022, algorithm 1.

use serde_json::json;

use super::churn::Churn;
use super::config::ScheduleConfig;
use super::error::ScheduleError;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const HEUN: Row = Row {
    check: refuse_clipping,
    ..Row::new(
        Properties { automatic_spacing: Some(SigmaSpacing::Timesteps), ..Properties::two_calls("heun", "Heun") },
        start,
    )
};

fn start(run: &SamplerRun) -> Started {
    let churn = Churn::of(run);
    let calls = match &churn {
        Some(churn) => churn.schedule(run.schedule, Some(&|_, to| to.sigma_ratio())),
        None => run.schedule.both_ends_schedule(run.steps),
    };
    (Box::new(Heun { churn, pending: None }), calls)
}

fn refuse_clipping(config: &ScheduleConfig) -> Result<(), ScheduleError> {
    match config.clip_sample {
        Some(true) => Err(ScheduleError::unsupported("clip_sample", &json!(true), &json!([false]))),
        _ => Ok(()),
    }
}

/// Solver of Heun and Restart. If the next step starts at a higher σ, noise brings the sample up to it.
#[derive(Default)]
pub(super) struct Heun {
    /// Sample, derivative and `dt` of the Euler step between the two calls.
    pending: Option<(Vec<f32>, Vec<f32>, f64)>,
    churn: Option<Churn>,
}

impl Solver for Heun {
    fn begin(&mut self, sample: Vec<f32>, noise: &mut dyn NoiseSource) -> Vec<f32> {
        match &self.churn {
            Some(churn) => churn.raise(sample, noise),
            None => sample,
        }
    }

    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let derivative = call.noise();
        let (sigma, next_sigma) = (call.level().sigma_ratio(), call.next_level().sigma_ratio());
        if let Some((sample, first_derivative, dt)) = self.pending.take() {
            let mut terms = vec![(1.0, sample.as_slice()), (dt / 2.0, &first_derivative), (dt / 2.0, &derivative)];
            if let Some(churn) = &mut self.churn {
                return churn.finish(weighted_sum(&terms), noise);
            }
            let restart = if next_sigma > sigma { noise.next(sample.len()) } else { Vec::new() };
            terms.push(((next_sigma * next_sigma - sigma * sigma).max(0.0).sqrt(), restart.as_slice()));
            return weighted_sum(&terms);
        }
        let dt = next_sigma - sigma;
        let next = weighted_sum(&[(1.0, call.sample), (dt, &derivative)]);
        if !call.is_last() {
            self.pending = Some((call.sample.to_vec(), derivative, dt));
        }
        next
    }
}
