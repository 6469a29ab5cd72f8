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

/// Returns `n` evenly spaced values, as PyTorch computes them in f32: from both ends to the middle.
pub(super) fn linspace(start: f64, end: f64, n: usize) -> Vec<f32> {
    let (start, end) = (to_f32(start), to_f32(end));
    let step = (end - start) / (n.max(2) - 1) as f32;
    let value = |i: usize| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 };
    if n == 1 { vec![start] } else { (0..n).map(value).collect() }
}

/// Returns the levels of Karras et al. 2022 with ρ = 7.
pub(super) fn karras(n: usize, (min, max): (f64, f64)) -> Vec<f32> {
    const RHO: f64 = 7.0;
    let (low, high) = (min.powf(1.0 / RHO), max.powf(1.0 / RHO));
    let root = |t: f32| to_f32(high) + t * to_f32(low - high);
    linspace(0.0, 1.0, n).into_iter().map(|t| to_f32(f64::from(root(t)).powf(RHO))).collect()
}

/// Returns a geometric progression.
pub(super) fn exponential(n: usize, (min, max): (f64, f64)) -> Vec<f32> {
    linspace(max.ln(), min.ln(), n).into_iter().map(|log| to_f32(f64::from(log).exp())).collect()
}

/// Returns evenly spaced entries from the end of the table.
pub(super) fn simple(n: usize, table: &SigmaTable) -> Vec<f32> {
    let stride = table.sigmas.len() as f64 / n as f64;
    (0..n).map(|i| table.sigmas[table.last() - to_index(i as f64 * stride)]).collect()
}

/// Returns every k-th entry of the table from its second, k the whole quotient of its length and `n`, descending. There
/// may be more than `n`.
pub(super) fn ddim_uniform(n: usize, table: &SigmaTable) -> Vec<f32> {
    let stride = (table.sigmas.len() / n).max(1);
    let mut sigmas: Vec<f32> = table.sigmas.iter().skip(1).step_by(stride).copied().collect();
    sigmas.reverse();
    sigmas
}
