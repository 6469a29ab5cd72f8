//! Spacings of a run's timesteps and of its noise levels (schedule types).

use crate::num::to_index;
use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// Selection of a run's timesteps from the training timesteps (Lin et al. 2023, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimestepSpacing {
    /// Multiples of an integer step ratio from 0, plus `steps_offset`.
    Leading,
    /// Evenly spaced from the first to the last training timestep.
    Linspace,
    /// Evenly spaced from the last training timestep downwards.
    Trailing,
}

/// Spacing of the noise levels (the web UIs' schedule type).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum SigmaSpacing {
    /// Levels of the timesteps, called "normal" in the web UIs.
    #[serde(alias = "normal")]
    Timesteps,
    /// Karras et al. 2022 with ρ = 7.
    Karras,
    /// Geometric progression.
    Exponential,
    /// Levels of evenly spaced timesteps from the last one down, excluding the first: Stability AI's sgm, often
    /// used with distilled models.
    SgmUniform,
    /// Evenly spaced entries of the level table, from its end: "simple" in ComfyUI and the web UIs.
    Simple,
    /// Quantiles of the Beta(0.6, 0.6) distribution (Lee et al. 2024, "Beta Sampling is All You
    /// Need") over the levels, as in diffusers and the web UIs.
    Beta,
    /// NVIDIA's optimised levels (Sabour et al. 2024, "Align Your Steps"), interpolated in log σ.
    Ays,
    /// Evenly spaced in a power of log σ, which is 1 by default and then the same as [`Exponential`](Self::Exponential).
    Polyexponential,
    /// Evenly spaced in the angle arctan σ (Sabour et al. 2024).
    KlOptimal,
    /// Every k-th entry of the level table from its second: "DDIM" in A1111.
    DdimUniform,
    /// Linear for the first half of the steps and then quadratic (Polyak et al. 2024, "Movie Gen"): ComfyUI.
    LinearQuadratic,
    /// Levels of evenly spaced timesteps from the last one down, for SDXL Turbo: Forge.
    Turbo,
    /// The same as [`Ays`](Self::Ays) under reForge's name.
    Ays11,
    /// Align Your Steps for 32 levels: reForge.
    Ays32,
    /// Levels of GITS (Chen et al. 2024): reForge.
    AysGits,
}

impl SigmaSpacing {
    /// All spacings, in menu order.
    pub const ALL: [SigmaSpacing; 15] = [
        Self::Timesteps,
        Self::Karras,
        Self::Exponential,
        Self::SgmUniform,
        Self::Simple,
        Self::Beta,
        Self::Ays,
        Self::Polyexponential,
        Self::KlOptimal,
        Self::DdimUniform,
        Self::LinearQuadratic,
        Self::Turbo,
        Self::Ays11,
        Self::Ays32,
        Self::AysGits,
    ];

    /// Returns whether only the web UIs have it.
    pub fn is_web_ui_only(self) -> bool {
        use SigmaSpacing::{Ays11, Ays32, AysGits, DdimUniform, KlOptimal, LinearQuadratic, Polyexponential, Turbo};
        matches!(self, Polyexponential | KlOptimal | DdimUniform | LinearQuadratic | Turbo | Ays11 | Ays32 | AysGits)
    }

    /// Returns the levels of `steps` steps, descending, from `max` to `min`. `table` holds the level of each
    /// training timestep, ascending. `None` if the levels follow from the timesteps, or if only the web UIs have the
    /// spacing.
    pub(super) fn levels(self, steps: usize, table: &[f64], (max, min): (f64, f64), is_xl: bool) -> Option<Vec<f64>> {
        /// Exponent of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022.
        const RHO: f64 = 7.0;
        let ramp = (0..steps).map(|i| i as f64 / (steps - 1).max(1) as f64);
        let lerp = |a: f64, b: f64, t: f64| a + t * (b - a);
        Some(match self {
            SigmaSpacing::Karras => {
                let (max, min) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
                ramp.map(|t| lerp(max, min, t).powf(RHO)).collect()
            }
            SigmaSpacing::Exponential => ramp.map(|t| lerp(max.ln(), min.ln(), t).exp()).collect(),
            SigmaSpacing::SgmUniform => {
                let last = (table.len() - 1) as f64;
                (0..steps).map(|i| interpolate_log(table, last - last * i as f64 / steps as f64)).collect()
            }
            SigmaSpacing::Simple => {
                let stride = table.len() as f64 / steps as f64;
                (0..steps).map(|i| table[table.len() - 1 - to_index(i as f64 * stride)]).collect()
            }
            SigmaSpacing::Beta => ramp.map(|t| lerp(min, max, beta_quantile(1.0 - t, 0.6, 0.6))).collect(),
            SigmaSpacing::Ays => {
                let levels: &[f64] = if is_xl { &AYS_XL } else { &AYS };
                let log_levels: Vec<f64> = levels.iter().map(|level| level.ln()).collect();
                let position = |i: usize| i as f64 / steps as f64 * (log_levels.len() - 1) as f64;
                (0..steps).map(|i| interpolate(&log_levels, position(i)).exp()).collect()
            }
            _ => return None,
        })
    }
}

/// Align Your Steps levels for 10 steps of Stable Diffusion 1.5, without the final 0.
const AYS: [f64; 11] = [
    14.6146412293,
    6.4745760956,
    3.8636745985,
    2.6946151520,
    1.8841921177,
    1.3943805092,
    0.9642583904,
    0.6523686016,
    0.3977456272,
    0.1515232662,
    0.0291671582,
];
/// Align Your Steps levels for 10 steps of SDXL, without the final 0.
const AYS_XL: [f64; 11] = [
    14.6146412293,
    6.3184485287,
    3.7681790315,
    2.1811480769,
    1.3405244945,
    0.8620721141,
    0.5550693289,
    0.3798540708,
    0.2332364134,
    0.1114188177,
    0.0291671582,
];

/// Interpolates the level at a fractional timestep, linearly in log σ.
fn interpolate_log(table: &[f64], position: f64) -> f64 {
    let low = to_index(position).min(table.len() - 1);
    let high = (low + 1).min(table.len() - 1);
    let (a, b) = (table[low].ln(), table[high].ln());
    (a + (b - a) * (position - low as f64)).exp()
}

/// Interpolates a table linearly at a fractional index.
pub(super) fn interpolate(table: &[f64], position: f64) -> f64 {
    let low = to_index(position).min(table.len() - 1);
    let high = (low + 1).min(table.len() - 1);
    table[low] + (table[high] - table[low]) * (position - low as f64)
}

/// Quantile function of a Beta distribution.
pub(super) fn beta_quantile(p: f64, alpha: f64, beta: f64) -> f64 {
    let (lower, upper) = (incomplete_beta(0.5, alpha, beta), incomplete_beta(0.5, beta, alpha));
    let total = lower + upper;
    // Exact in the middle, which ComfyUI rounds to a whole timestep.
    if (p * total - lower).abs() <= f64::EPSILON * total {
        return 0.5;
    }
    match p * total <= lower {
        true => inverse_incomplete_beta(p * total, alpha, beta),
        false => 1.0 - inverse_incomplete_beta((1.0 - p) * total, beta, alpha),
    }
}

/// Returns x <= 1/2 of a value of the incomplete beta function.
fn inverse_incomplete_beta(value: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if incomplete_beta(middle, a, b) < value { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Incomplete beta function B(x; a, b) for x <= 1/2: x^a · Σ (1-b)(2-b)…(n-b) / n! · xⁿ / (a + n).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    let (mut power, mut sum) = (1.0, 0.0);
    for n in 0..80 {
        sum += power / (a + f64::from(n));
        power *= x * (f64::from(n) + 1.0 - b) / (f64::from(n) + 1.0);
    }
    x.powf(a) * sum
}
