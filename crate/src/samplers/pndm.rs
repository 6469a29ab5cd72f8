//! PNDM: DDIM steps with a linear multistep combination of the last four network outputs.
//!
//! Source: Liu et al., "Pseudo Numerical Methods for Diffusion Models on Manifolds", 2022, without the
//! Runge-Kutta start (PLMS): the second call repeats the first step with the mean of two outputs.

use serde_json::json;

use super::config::{PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule, Schedule};
use super::solver::{Call, Row, SamplerRun, Solver, Started, weighted_sum};
use crate::num::to_whole;

pub(super) const PNDM: Row = Row {
    check: refuse_runge_kutta,
    ..Row::new(
        Properties { rescales_betas: false, sets_alpha_to_one: false, ..Properties::timestep_based("pndm", "PLMS") },
        Pndm::start,
    )
};

fn refuse_runge_kutta(config: &ScheduleConfig) -> Result<(), ScheduleError> {
    match config.skip_prk_steps {
        Some(true) => Ok(()),
        _ => Err(ScheduleError::unsupported("skip_prk_steps", &json!(false), &json!([true]))),
    }
}

struct Pndm {
    /// Whether the means are those of the noise that the outputs predict, as in A1111, and not of the outputs.
    averages_noise: bool,
    /// Levels one step ratio above each call's timestep, at it, and one step ratio below.
    stages: Vec<[Level; 3]>,
    /// Outputs of the last calls, newest last.
    outputs: Vec<Vec<f32>>,
    /// Number of calls so far.
    calls: usize,
    first_sample: Vec<f32>,
}

impl Pndm {
    fn start(&SamplerRun { schedule, steps, .. }: &SamplerRun) -> Started {
        if schedule.is_of_web_ui() {
            return Self::start_of_web_ui(schedule, &schedule.timestep_pairs(steps));
        }
        let mut timesteps: Vec<f64> = schedule.timesteps(steps, steps).into_iter().map(f64::round_ties_even).collect();
        if steps > 1 {
            timesteps.insert(1, timesteps[1]);
        }
        let train = schedule.alphas_bar.len() as i64;
        let step_ratio = train / steps as i64;
        let stage = |t: i64| [t + step_ratio, t, t - step_ratio].map(|t| schedule.level(t.min(train - 1)));
        let stages: Vec<_> = timesteps.iter().map(|t| stage(to_whole(*t))).collect();
        let end = stages.last().map(|stage| stage[2]);
        let levels = stages.iter().map(|stage| stage[1]).chain(end).collect();
        (Box::new(Self::new(stages, false)), NoiseSchedule { timesteps, levels })
    }

    fn new(stages: Vec<[Level; 3]>, averages_noise: bool) -> Self {
        Self { averages_noise, stages, outputs: Vec::new(), calls: 0, first_sample: Vec::new() }
    }

    /// A1111's run over pairs of timesteps, whose first step is repeated.
    fn start_of_web_ui(schedule: &Schedule, pairs: &[(i64, i64)]) -> Started {
        let mut calls: Vec<[i64; 3]> = pairs.iter().map(|(from, to)| [*from, *from, *to]).collect();
        if let Some(&[_, from, to]) = calls.first() {
            calls.insert(1, [from, to, to]);
        }
        let timesteps = calls.iter().map(|call| call[1] as f64).collect();
        let stages: Vec<_> = calls.into_iter().map(|call| call.map(|t| schedule.level(t))).collect();
        let end = stages.last().map(|stage| stage[2]);
        let levels = stages.iter().map(|stage| stage[1]).chain(end).collect();
        (Box::new(Self::new(stages, true)), NoiseSchedule { timesteps, levels })
    }
}

impl Solver for Pndm {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        let [above, at, below] = self.stages[call.index];
        let repeats = self.calls == 1;
        let current = if self.averages_noise { call.noise() } else { call.output.to_vec() };
        let (from, to) = if repeats { (above, at) } else { (at, below) };
        if !repeats {
            self.outputs.drain(..self.outputs.len().saturating_sub(3));
            self.outputs.push(current.clone());
        }
        let output = match self.outputs.as_slice() {
            [a] if repeats => weighted_sum(&[(0.5, &current), (0.5, a)]),
            [a] => a.clone(),
            [b, a] => weighted_sum(&[(1.5, a), (-0.5, b)]),
            [c, b, a] => weighted_sum(&[(23.0 / 12.0, a), (-16.0 / 12.0, b), (5.0 / 12.0, c)]),
            [d, c, b, a] => weighted_sum(&[(55.0 / 24.0, a), (-59.0 / 24.0, b), (37.0 / 24.0, c), (-9.0 / 24.0, d)]),
            _ => current,
        };
        if self.calls == 0 {
            self.first_sample = call.sample.to_vec();
        }
        let sample = if repeats { &self.first_sample } else { call.sample };
        self.calls += 1;

        let prediction = if self.averages_noise { PredictionType::Epsilon } else { call.prediction };
        let (sample_weight, output_weight) = prediction.noise_weights(from);
        let noise = weighted_sum(&[(sample_weight, sample), (output_weight, &output)]);
        let scale = to.alpha / from.alpha;
        weighted_sum(&[(scale, sample), (to.sigma - scale * from.sigma, &noise)])
    }
}
