//! What a sampler's file defines: a [`Solver`], and a [`Row`] for the list in `kind.rs`.

use super::config::{PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::noise::NoiseSource;
use super::properties::Properties;
use super::schedule::{Level, NoiseSchedule, Schedule};
use crate::num::to_f32;

/// A sampler of the list in `kind.rs`.
pub(super) struct Row {
    pub properties: Properties,
    /// Starts a run.
    pub start: fn(&SamplerRun) -> Started,
    /// Refuses configs that need another algorithm than this one.
    pub check: fn(&ScheduleConfig) -> Result<(), ScheduleError>,
}

impl Row {
    /// Creates the row of a sampler that takes every config.
    pub const fn new(properties: Properties, start: fn(&SamplerRun) -> Started) -> Self {
        Self { properties, start, check: |_| Ok(()) }
    }
}

/// The settings of a run.
pub(super) struct SamplerRun<'a> {
    pub schedule: &'a Schedule,
    pub config: &'a ScheduleConfig,
    pub steps: usize,
    /// Noise added per step, 0 to 1; of no effect if the sampler has no eta.
    pub eta: f64,
}

/// The solver of a run, and its timesteps and noise levels.
pub(super) type Started = (Box<dyn Solver>, NoiseSchedule);

/// The arithmetic of a sampler, with its state between the calls of a run.
pub(super) trait Solver {
    /// Returns the next sample after a model call. `noise(n)` returns the next `n` normal values.
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32>;
}

/// What all model calls of a run share.
pub(super) struct CallContext {
    /// Noise level of the sample at each call, and at the end.
    pub levels: Vec<Level>,
    pub prediction: PredictionType,
    pub is_variance_exploding: bool,
}

impl CallContext {
    /// Returns the call with this index.
    pub fn call<'a>(&'a self, index: usize, output: &'a [f32], sample: &'a [f32]) -> Call<'a> {
        let CallContext { levels, prediction, is_variance_exploding } = self;
        Call { index, levels, prediction: *prediction, is_variance_exploding: *is_variance_exploding, output, sample }
    }
}

/// One model call.
pub(super) struct Call<'a> {
    pub index: usize,
    pub levels: &'a [Level],
    pub prediction: PredictionType,
    pub is_variance_exploding: bool,
    /// The network's output.
    pub output: &'a [f32],
    pub sample: &'a [f32],
}

impl Call<'_> {
    /// Returns the noise level of this call's sample.
    pub fn level(&self) -> Level {
        self.levels[self.index]
    }

    /// Returns the noise level of the next call's sample.
    pub fn next_level(&self) -> Level {
        self.levels[self.index + 1]
    }

    /// Returns whether the step of this call ends at the clean sample.
    pub fn ends_at_zero(&self) -> bool {
        self.next_level().sigma == 0.0
    }

    /// Returns whether this is the last call.
    pub fn is_last(&self) -> bool {
        self.index + 2 == self.levels.len()
    }

    /// Returns the network's prediction of the clean sample x₀.
    pub fn clean(&self) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.x0_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, self.output)])
    }

    /// Returns the network's prediction of the noise, which is also dx/dσ of a sample x = x₀ + σ·noise.
    pub fn noise(&self) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.noise_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, self.output)])
    }

    /// Returns the factor that scales the sample to unit variance.
    fn sample_scale(&self) -> f64 {
        if self.is_variance_exploding { self.level().alpha } else { 1.0 }
    }
}

/// Computes Σ weight · tensor elementwise in f32.
pub(super) fn weighted_sum(terms: &[(f64, &[f32])]) -> Vec<f32> {
    let mut sum = vec![0.0; terms[0].1.len()];
    for (weight, tensor) in terms.iter().filter(|term| term.0 != 0.0) {
        let weight = to_f32(*weight);
        sum.iter_mut().zip(*tensor).for_each(|(sum, value)| *sum += weight * value);
    }
    sum
}

/// Clips every value to ± `range`, if any.
pub(super) fn clip(tensor: &mut [f32], range: Option<f32>) {
    if let Some(range) = range {
        tensor.iter_mut().for_each(|value| *value = value.clamp(-range, range));
    }
}
