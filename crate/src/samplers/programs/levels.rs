//! σ of the web UIs' schedule types, as far as they compute them alike.
//!
//! Source: A1111's `sd_schedulers.py`, Forge's and reForge's (Turbo; Align Your Steps 11, 32 and GITS), ComfyUI's
//! `samplers.py`.

use super::RunRequest;
use super::table::SigmaTable;
use crate::num::{to_f32, to_index};
use crate::samplers::spacing::{SigmaSpacing, beta_quantile, interpolate};

/// What the σ of a run are computed from.
pub(super) struct LevelRequest<'a> {
    pub table: &'a SigmaTable,
    /// Smallest and largest σ.
    pub ends: (f64, f64),
    /// Exponent of Karras and Polyexponential; `None` for their defaults.
    pub rho: Option<f64>,
    /// Parameters of the Beta distribution.
    pub beta: (f64, f64),
    pub is_xl: bool,
}

impl<'a> LevelRequest<'a> {
    /// Returns the request of a run over a table, with the run's settings.
    pub fn new(request: &RunRequest, table: &'a SigmaTable) -> Self {
        let settings = &request.settings;
        Self {
            table,
            ends: (settings.sigma_min.unwrap_or(table.min()), settings.sigma_max.unwrap_or(table.max())),
            rho: settings.rho,
            beta: (settings.beta_alpha.unwrap_or(0.6), settings.beta_beta.unwrap_or(0.6)),
            is_xl: request.is_xl,
        }
    }

    /// Returns the σ of `n` steps, without the 0 at the end.
    pub fn levels(&self, spacing: SigmaSpacing, n: usize) -> Vec<f32> {
        let &Self { table, ends: (min, max), rho, .. } = self;
        let last = table.last() as f64;
        let of_indices = |indices: Vec<f32>| indices.into_iter().map(|index| table.sigma_at(index)).collect();
        match spacing {
            SigmaSpacing::Timesteps => of_indices(linspace(last, 0.0, n)),
            SigmaSpacing::Karras => karras(n, (min, max), rho.unwrap_or(7.0)),
            SigmaSpacing::Exponential => polyexponential(n, (min, max), 1.0),
            SigmaSpacing::Polyexponential => polyexponential(n, (min, max), rho.unwrap_or(1.0)),
            SigmaSpacing::SgmUniform => {
                let first = if max == table.max() { last } else { table.index_of(max) };
                let mut indices = linspace(first, table.index_of(min), n + 1);
                indices.truncate(n);
                of_indices(indices)
            }
            SigmaSpacing::Simple => simple(n, table),
            SigmaSpacing::DdimUniform => ddim_uniform(n, table),
            SigmaSpacing::Turbo => turbo(n, table),
            SigmaSpacing::LinearQuadratic => linear_quadratic(n).map(|level| to_f32(level) * to_f32(max)).collect(),
            SigmaSpacing::Beta => self.beta_points(n, n - 1).map(|p| to_f32(min + p * (max - min))).collect(),
            SigmaSpacing::KlOptimal => kl_optimal(n, n - 1, (min, max)),
            SigmaSpacing::Ays | SigmaSpacing::Ays11 => published(n, if self.is_xl { &AYS_XL } else { &AYS }),
            SigmaSpacing::Ays32 => published(n, if self.is_xl { &AYS_32_XL } else { &AYS_32 }),
            SigmaSpacing::AysGits => published(n, if self.is_xl { &GITS_XL } else { &GITS }),
        }
    }

    /// Returns the quantiles of the Beta distribution for `n` steps, `divisions` steps before 0, descending from 1.
    pub fn beta_points(&self, n: usize, divisions: usize) -> impl Iterator<Item = f64> {
        let (alpha, beta) = self.beta;
        (0..n).map(move |i| beta_quantile(1.0 - i as f64 / divisions.max(1) as f64, alpha, beta))
    }
}

/// Returns `n` evenly spaced values, as PyTorch computes them in f32: from both ends to the middle.
fn linspace(start: f64, end: f64, n: usize) -> Vec<f32> {
    let (start, end) = (to_f32(start), to_f32(end));
    let step = (end - start) / (n.max(2) - 1) as f32;
    let value = |i: usize| if i < n / 2 { start + step * i as f32 } else { end - step * (n - 1 - i) as f32 };
    if n == 1 { vec![start] } else { (0..n).map(value).collect() }
}

/// Returns the levels of Karras et al. 2022.
fn karras(n: usize, (min, max): (f64, f64), rho: f64) -> Vec<f32> {
    let (low, high) = (min.powf(1.0 / rho), max.powf(1.0 / rho));
    let root = |t: f32| to_f32(high) + t * to_f32(low - high);
    linspace(0.0, 1.0, n).into_iter().map(|t| to_f32(f64::from(root(t)).powf(rho))).collect()
}

/// Returns a polynomial in log σ; with ρ = 1, a geometric progression.
fn polyexponential(n: usize, (min, max): (f64, f64), rho: f64) -> Vec<f32> {
    let logs: Vec<f32> = match rho {
        1.0 => linspace(max.ln(), min.ln(), n),
        _ => {
            let log = |t: f32| f64::from(t).powf(rho) * (max.ln() - min.ln()) + min.ln();
            linspace(1.0, 0.0, n).into_iter().map(|t| to_f32(log(t))).collect()
        }
    };
    logs.into_iter().map(|log| to_f32(f64::from(log).exp())).collect()
}

/// Returns evenly spaced entries from the end of the table.
fn simple(n: usize, table: &SigmaTable) -> Vec<f32> {
    let stride = table.sigmas.len() as f64 / n as f64;
    (0..n).map(|i| table.sigmas[table.last() - to_index(i as f64 * stride)]).collect()
}

/// Returns every k-th entry of the table from its second, k the whole quotient of its length and `n`, descending. There
/// may be more than `n`.
fn ddim_uniform(n: usize, table: &SigmaTable) -> Vec<f32> {
    let stride = (table.sigmas.len() / n).max(1);
    let mut sigmas: Vec<f32> = table.sigmas.iter().skip(1).step_by(stride).copied().collect();
    sigmas.reverse();
    sigmas
}

/// Returns levels that are evenly spaced in the angle of their signal and noise, `n` from `max` on, `divisions` steps
/// before `min` (KL-optimal: Sabour et al., "Align Your Steps", 2024).
pub(super) fn kl_optimal(n: usize, divisions: usize, (min, max): (f64, f64)) -> Vec<f32> {
    let angle = |i: usize| {
        let t = i as f64 / divisions.max(1) as f64;
        t * min.atan() + (1.0 - t) * max.atan()
    };
    (0..n).map(|i| to_f32(angle(i).tan())).collect()
}

/// Returns the levels of evenly spaced timesteps from the last one down, excluding the first.
fn turbo(n: usize, table: &SigmaTable) -> Vec<f32> {
    let stride = to_f32(table.sigmas.len() as f64 / n as f64);
    let index = |step: usize| to_index(f64::from((step as f32 * stride - 1.0).round_ties_even()));
    (1..=n).rev().map(|step| table.sigmas[index(step).min(table.last())]).collect()
}

/// Returns levels from 1 that fall linearly by 0.025 in the first half of the steps, and then quadratically to 0
/// (Polyak et al., "Movie Gen", 2024).
fn linear_quadratic(n: usize) -> impl Iterator<Item = f64> {
    const LINEAR_FALL: f64 = 0.025;
    let linear = n / 2;
    let (linear_steps, quadratic_steps) = (linear as f64, (n - linear) as f64);
    let difference = linear_steps - LINEAR_FALL * n as f64;
    let square = difference / (linear_steps * quadratic_steps.powi(2));
    let slope = LINEAR_FALL / linear_steps - 2.0 * difference / quadratic_steps.powi(2);
    (0..n).map(move |i| {
        let at = i as f64;
        if n == 1 {
            1.0
        } else if i < linear {
            1.0 - at * LINEAR_FALL / linear_steps
        } else {
            1.0 - (square * at * at + slope * at + square * linear_steps.powi(2))
        }
    })
}

/// Levels of Align Your Steps for 10 steps and the smallest one, as rounded by the web UI.
const AYS: [f64; 11] = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
/// The same for SDXL.
const AYS_XL: [f64; 11] = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029];
/// Levels of Align Your Steps for 31 steps and the smallest one.
const AYS_32: [f64; 32] = [
    14.615,
    11.23951352,
    8.64363081,
    6.64729424,
    5.57250862,
    4.71648546,
    3.99196065,
    3.5195609,
    3.13490466,
    2.79228788,
    2.48773628,
    2.21663865,
    1.97508351,
    1.7793172,
    1.61475335,
    1.46540953,
    1.314849,
    1.16642497,
    1.03475547,
    0.91573744,
    0.80748169,
    0.71202361,
    0.621739,
    0.53065202,
    0.4529096,
    0.37491455,
    0.27461819,
    0.2011529,
    0.14105873,
    0.06682881,
    0.03166121,
    0.015,
];
/// The same for SDXL.
const AYS_32_XL: [f64; 32] = [
    14.615, 11.1491618, 8.50522127, 6.48827151, 5.43707402, 4.60398619, 3.89854704, 3.27407457, 2.74396527, 2.29968659,
    1.95448514, 1.67108715, 1.42878152, 1.23181009, 1.06789649, 0.92579443, 0.80290886, 0.69660121, 0.60436903,
    0.52852552, 0.46773344, 0.41393379, 0.36258186, 0.31008517, 0.26518925, 0.22326461, 0.17653877, 0.13959192,
    0.10587381, 0.05519369, 0.02877334, 0.015,
];
/// Levels of GITS (Chen et al., "On the Trajectory Regularity of ODE-based Diffusion Sampling", 2024).
const GITS: [f64; 11] = [14.615, 4.617, 2.507, 1.236, 0.702, 0.402, 0.240, 0.156, 0.104, 0.094, 0.029];
/// The same for SDXL.
const GITS_XL: [f64; 11] = [14.615, 4.734, 2.567, 1.529, 0.987, 0.652, 0.418, 0.268, 0.179, 0.127, 0.029];

/// Returns `n` of a list of levels, interpolated in log σ, the last of which is the smallest.
fn published(n: usize, levels: &[f64]) -> Vec<f32> {
    let logs: Vec<f64> = levels.iter().map(|level| level.ln()).collect();
    let last = (levels.len() - 1) as f64;
    // numpy spaces positions from the end, so that one level is the smallest one.
    let position = |i: usize| if n == 1 { last } else { i as f64 / (n - 1) as f64 * last };
    (0..n).map(|i| to_f32(interpolate(&logs, position(i)).exp())).collect()
}
