//! σ of the training timesteps as the web UIs store it, in f32, and the conversions between σ and timesteps.

use crate::num::{to_f32, to_index};

/// σ of a list of timesteps, ascending.
pub(in crate::samplers) struct SigmaTable {
    pub sigmas: Vec<f32>,
    logs: Vec<f32>,
}

impl SigmaTable {
    /// Creates the table of ᾱ in f32, with all arithmetic in f32.
    pub fn rounded(alphas_bar: impl IntoIterator<Item = f32>) -> Self {
        let sigmas: Vec<f32> = alphas_bar.into_iter().map(|a| ((1.0 - a) / a).sqrt()).collect();
        Self { logs: sigmas.iter().map(|sigma| sigma.ln()).collect(), sigmas }
    }

    /// Creates the table of ᾱ in f64.
    pub fn new(alphas_bar: impl IntoIterator<Item = f64>) -> Self {
        let sigmas: Vec<f64> = alphas_bar.into_iter().map(|a| ((1.0 - a) / a).sqrt()).collect();
        Self {
            logs: sigmas.iter().map(|sigma| to_f32(sigma.ln())).collect(),
            sigmas: sigmas.into_iter().map(to_f32).collect(),
        }
    }

    /// Returns the last index.
    pub fn last(&self) -> usize {
        self.sigmas.len() - 1
    }

    /// Returns the smallest σ.
    pub fn min(&self) -> f64 {
        f64::from(self.sigmas[0])
    }

    /// Returns the largest σ.
    pub fn max(&self) -> f64 {
        f64::from(self.sigmas[self.last()])
    }

    /// Returns σ at a fractional index, interpolated in log σ.
    pub fn sigma_at(&self, index: f32) -> f32 {
        let index = index.clamp(0.0, self.last() as f32);
        let low = to_index(f64::from(index));
        let (high, weight) = ((low + 1).min(self.last()), index.fract());
        ((1.0 - weight) * self.logs[low] + weight * self.logs[high]).exp()
    }

    /// Returns the fractional index of a σ.
    pub fn index_of(&self, sigma: f64) -> f64 {
        let log = sigma.ln();
        let low = self.logs.partition_point(|entry| f64::from(*entry) <= log).saturating_sub(1).min(self.last() - 1);
        let (below, above) = (f64::from(self.logs[low]), f64::from(self.logs[low + 1]));
        low as f64 + ((log - below) / (above - below)).clamp(0.0, 1.0)
    }

    /// Returns the index of the σ that is nearest in log σ.
    pub fn nearest(&self, sigma: f64) -> usize {
        let log = to_f32(sigma.ln());
        let distance = |index: usize| (self.logs[index] - log).abs();
        let above = self.logs.partition_point(|entry| *entry < log).min(self.last());
        let below = above.saturating_sub(1);
        if distance(below) <= distance(above) { below } else { above }
    }
}
