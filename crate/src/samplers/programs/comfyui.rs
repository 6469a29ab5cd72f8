//! ComfyUI.
//!
//! Source: its `comfy/samplers.py`, `comfy/model_sampling.py` and `comfy/k_diffusion/sampling.py`.

use super::table::{SigmaTable, ddim_uniform, exponential, karras, linspace, simple};
use super::{
    NoiseRules, RunRequest, SigmaSchedule, TimestepRule, WebUiSchedule, kl_optimal, quantile_points,
    without_penultimate,
};
use crate::num::{to_f32, to_index};
use crate::samplers::spacing::{SigmaSpacing, beta_quantile};

/// ComfyUI's samplers: their names in recipes and in ComfyUI.
pub(in crate::samplers) const SAMPLERS: [(&str, &str); 16] = [
    ("euler", "euler"),
    ("euler_a", "euler_ancestral"),
    ("heun", "heun"),
    ("dpm2", "dpm_2"),
    ("dpm2_a", "dpm_2_ancestral"),
    ("lms", "lms"),
    ("dpmpp_2s_a", "dpmpp_2s_ancestral"),
    ("dpmpp_sde", "dpmpp_sde"),
    ("dpmpp_2m", "dpmpp_2m"),
    ("dpmpp_2m_sde", "dpmpp_2m_sde"),
    ("dpmpp_2m_sde_heun", "dpmpp_2m_sde_heun"),
    ("dpmpp_3m_sde", "dpmpp_3m_sde"),
    ("lcm", "lcm"),
    ("ddim", "ddim"),
    ("unipc", "uni_pc"),
    ("unipc_bh2", "uni_pc_bh2"),
];
/// Samplers that plan one step more and leave out the level before the last.
const DISCARDS_PENULTIMATE: [&str; 4] = ["dpm2", "dpm2_a", "unipc", "unipc_bh2"];
/// Level at which the UniPC samplers end instead of 0.
const UNIPC_END: f32 = 0.001;

/// One generator draws the batch; that of the steps' noise has the next seed.
pub(super) const NOISE_RULES: NoiseRules =
    NoiseRules { seeds_each_image: false, step_seed_delta: Some(1), samples_encoder: false };

/// Plans a run; `None` for samplers that ComfyUI does not have.
pub(super) fn schedule(request: &RunRequest) -> Option<WebUiSchedule> {
    let (name, _) = SAMPLERS.iter().find(|row| row.0 == request.sampler)?;
    let table = SigmaTable::new(request.alphas_bar.iter().copied());
    let discards = DISCARDS_PENULTIMATE.contains(name);
    let planned = match request.strength {
        Some(strength) if strength <= 0.9999 => to_index(request.steps as f64 / strength.max(1e-3)),
        _ => request.steps,
    };
    let spacing = request.spacing.unwrap_or(SigmaSpacing::Timesteps);
    let mut sigmas = levels(spacing, planned + usize::from(discards), &table, request.is_xl);
    if discards {
        sigmas = without_penultimate(sigmas);
    }
    if planned > request.steps {
        sigmas.drain(..sigmas.len().saturating_sub(request.steps + 1));
    }
    let range = SigmaSchedule::range_of(&sigmas);
    let (sigma, max) = (f64::from(sigmas[0]), table.max());
    let is_max = sigma > max || (sigma - max).abs() <= 1e-5 * max;
    let initial_noise = if is_max { (1.0 + sigma * sigma).sqrt() } else { sigma };
    let end = sigmas.len() - 1;
    if name.starts_with("unipc") && sigmas[end] == 0.0 {
        sigmas[end] = UNIPC_END;
    }
    let rule = TimestepRule::Nearest { first: 0, stride: 1 };
    Some(WebUiSchedule::Sigmas(SigmaSchedule { sigmas, range, initial_noise, table, rule }))
}

/// Returns the levels of `n` steps, and 0.
fn levels(spacing: SigmaSpacing, n: usize, table: &SigmaTable, is_xl: bool) -> Vec<f32> {
    let (ends, last) = ((table.min(), table.max()), table.last() as f64);
    let of_indices = |indices: Vec<f32>| indices.into_iter().map(|index| table.sigma_at(index)).collect();
    let mut sigmas: Vec<f32> = match spacing {
        SigmaSpacing::Timesteps => of_indices(linspace(last, 0.0, n)),
        SigmaSpacing::Karras => karras(n, ends),
        SigmaSpacing::Exponential | SigmaSpacing::Polyexponential => exponential(n, ends),
        SigmaSpacing::SgmUniform => of_indices(linspace(last, 0.0, n + 1).into_iter().take(n).collect()),
        SigmaSpacing::Simple => simple(n, table),
        SigmaSpacing::DdimUniform => ddim_uniform(n, table),
        SigmaSpacing::Beta => {
            let mut indices: Vec<usize> =
                quantile_points(n, n).map(|p| to_index((beta_quantile(p) * last).round_ties_even())).collect();
            indices.dedup();
            indices.into_iter().map(|index| table.sigmas[index]).collect()
        }
        SigmaSpacing::Ays => spacing.levels(n, &[], ends, is_xl).unwrap_or_default().into_iter().map(to_f32).collect(),
        SigmaSpacing::KlOptimal => kl_optimal(n, n - 1, ends),
        SigmaSpacing::LinearQuadratic => linear_quadratic(n).map(|level| to_f32(level) * to_f32(ends.1)).collect(),
    };
    sigmas.push(0.0);
    sigmas
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
