//! What a sampler's file defines: a [`Solver`], and a [`Row`] for the list in `kind.rs`.

use super::config::{PredictionType, ScheduleConfig};
use super::error::ScheduleError;
use super::noise::NoiseSource;
use super::programs::WebUiSettings;
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
    /// Settings of A1111's web UI; the defaults in other programs.
    pub settings: WebUiSettings,
}

impl SamplerRun<'_> {
    /// Returns the factor of the added noise ("Sigma noise").
    pub fn noise_scale(&self) -> f64 {
        self.settings.s_noise.unwrap_or(1.0)
    }
}

/// The solver of a run, and its timesteps and noise levels.
pub(super) type Started = (Box<dyn Solver>, NoiseSchedule);

/// The arithmetic of a sampler, with its state between the calls of a run.
pub(super) trait Solver {
    /// Returns the sample of the first call from the initial one, for solvers that add noise before a step.
    fn begin(&mut self, sample: Vec<f32>, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        sample
    }

    /// Returns σ of the next call's sample after a step, for solvers that choose their steps while they run; `None` at
    /// the end, and if all calls were planned.
    fn chosen_sigma(&self) -> Option<f64> {
        None
    }

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
    pub fn call<'a>(&'a self, index: usize, outputs: Outputs<'a>, sample: &'a [f32]) -> Call<'a> {
        let &CallContext { ref levels, prediction, is_variance_exploding } = self;
        let Outputs { guided: output, negative } = outputs;
        Call { index, levels, prediction, is_variance_exploding, output, negative, sample }
    }
}

/// The network's outputs of a model call.
#[derive(Debug, Clone, Copy)]
pub struct Outputs<'a> {
    /// The output after guidance.
    pub guided: &'a [f32],
    /// The output for the negative prompt, which the CFG++ samplers use.
    pub negative: &'a [f32],
}

impl<'a> From<&'a [f32]> for Outputs<'a> {
    /// The outputs without guidance.
    fn from(output: &'a [f32]) -> Self {
        Self { guided: output, negative: output }
    }
}

impl<'a> From<&'a Vec<f32>> for Outputs<'a> {
    fn from(output: &'a Vec<f32>) -> Self {
        output.as_slice().into()
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
    /// The network's output for the negative prompt.
    negative: &'a [f32],
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
        self.clean_of(self.output)
    }

    /// Returns the clean sample x₀ that the network predicts for the negative prompt.
    pub fn negative_clean(&self) -> Vec<f32> {
        self.clean_of(self.negative)
    }

    fn clean_of(&self, output: &[f32]) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.x0_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, output)])
    }

    /// Returns the network's prediction of the noise, which is also dx/dσ of a sample x = x₀ + σ·noise.
    pub fn noise(&self) -> Vec<f32> {
        self.noise_of(self.output)
    }

    /// Returns the noise that the network predicts for the negative prompt.
    pub fn negative_noise(&self) -> Vec<f32> {
        self.noise_of(self.negative)
    }

    fn noise_of(&self, output: &[f32]) -> Vec<f32> {
        let (sample_weight, output_weight) = self.prediction.noise_weights(self.level());
        weighted_sum(&[(sample_weight * self.sample_scale(), self.sample), (output_weight, output)])
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
