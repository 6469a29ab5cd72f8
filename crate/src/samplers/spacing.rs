//! Turns a number of steps into noise levels between the largest and the smallest of a schedule,
//! for the spacings that do not follow from the timesteps alone.

use crate::num::to_index;
use serde::{Deserialize, Serialize};

/// How noise levels are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SigmaSpacing {
    /// The levels of the timesteps, which the web UIs call normal.
    #[serde(alias = "normal")]
    Timesteps,
    /// After Karras et al. 2022, ρ = 7.
    Karras,
    /// A geometric row.
    Exponential,
    /// The levels of timesteps from the last one down, evenly, of which the first is not reached:
    /// Stability AI's sgm, and what distilled models are often drawn with.
    SgmUniform,
    /// Entries of the table of levels, evenly from its end: ComfyUI's and the web UIs' "simple".
    Simple,
    /// Quantiles of the Beta(0.6, 0.6) distribution (Lee et al. 2024, "Beta Sampling is All You
    /// Need"), over the levels, as diffusers and the web UIs take them.
    Beta,
    /// NVIDIA's optimised levels (Sabour et al. 2024, "Align Your Steps"), between them even in log σ.
    Ays,
}

impl SigmaSpacing {
    /// Every spacing, in the order of a menu.
    pub const ALL: [SigmaSpacing; 7] =
        [Self::Timesteps, Self::Karras, Self::Exponential, Self::SgmUniform, Self::Simple, Self::Beta, Self::Ays];

    /// The levels of `steps` steps, falling; `table` holds the level of each training timestep,
    /// rising, and `max` and `min` are the levels to stay between. None when the timesteps decide.
    pub(super) fn levels(self, steps: usize, table: &[f64], (max, min): (f64, f64), is_xl: bool) -> Option<Vec<f64>> {
        /// Exponent of Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022.
        const RHO: f64 = 7.0;
        let ramp = (0..steps).map(|i| i as f64 / (steps - 1).max(1) as f64);
        let between = |a: f64, b: f64, t: f64| a + t * (b - a);
        Some(match self {
            SigmaSpacing::Timesteps => return None,
            SigmaSpacing::Karras => {
                let (max, min) = (max.powf(1.0 / RHO), min.powf(1.0 / RHO));
                ramp.map(|t| between(max, min, t).powf(RHO)).collect()
            }
            SigmaSpacing::Exponential => ramp.map(|t| between(max.ln(), min.ln(), t).exp()).collect(),
            SigmaSpacing::SgmUniform => {
                let last = (table.len() - 1) as f64;
                (0..steps).map(|i| log_level(table, last - last * i as f64 / steps as f64)).collect()
            }
            SigmaSpacing::Simple => {
                let width = table.len() as f64 / steps as f64;
                (0..steps).map(|i| table[table.len() - 1 - to_index(i as f64 * width)]).collect()
            }
            SigmaSpacing::Beta => ramp.map(|t| between(min, max, beta_quantile(1.0 - t))).collect(),
            SigmaSpacing::Ays => {
                let known: &[f64] = if is_xl { &AYS_XL } else { &AYS };
                let known: Vec<f64> = known.iter().map(|level| level.ln()).collect();
                let place = |i: usize| i as f64 / steps as f64 * (known.len() - 1) as f64;
                (0..steps).map(|i| interpolate(&known, place(i)).exp()).collect()
            }
        })
    }
}

/// Levels for 10 steps of Stable Diffusion 1.5, the last step to 0.
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
/// The same for SDXL.
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

/// Level at a fractional timestep, linear in log σ.
fn log_level(table: &[f64], place: f64) -> f64 {
    let low = to_index(place).min(table.len() - 1);
    let high = (low + 1).min(table.len() - 1);
    let (a, b) = (table[low].ln(), table[high].ln());
    (a + (b - a) * (place - low as f64)).exp()
}

/// Value of a table at a fractional place inside it.
pub(super) fn interpolate(table: &[f64], place: f64) -> f64 {
    let low = to_index(place).min(table.len() - 1);
    let high = (low + 1).min(table.len() - 1);
    table[low] + (table[high] - table[low]) * (place - low as f64)
}

/// Where Beta(0.6, 0.6) has the share `p` below it.
fn beta_quantile(p: f64) -> f64 {
    // The distribution is symmetric, and its lower half needs no care at the far end.
    if p > 0.5 {
        return 1.0 - beta_quantile(1.0 - p);
    }
    let (mut low, mut high) = (0.0, 0.5);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta_share(middle) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

/// Share of Beta(a, a), a = 0.6, below x <= 1/2: the power series of the incomplete beta function,
/// x^a / (a·B(a, a)) · Σ (1-a)(2-a)…(n-a) / n! · a / (a + n) · xⁿ.
fn beta_share(x: f64) -> f64 {
    const A: f64 = 0.6;
    /// Γ(0.6)² / Γ(1.2).
    const BETA: f64 = 2.415_344_208_002_472_3;
    let (mut power, mut sum) = (1.0, 0.0);
    for n in 0..80 {
        sum += power * A / (A + f64::from(n));
        power *= x * (f64::from(n) + 1.0 - A) / (f64::from(n) + 1.0);
    }
    x.powf(A) / (A * BETA) * sum
}
