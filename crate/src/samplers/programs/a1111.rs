//! AUTOMATIC1111's web UI 1.10.
//!
//! Source: its `sd_schedulers.py`, `sd_samplers_kdiffusion.py`, `sd_samplers_timesteps.py` and `rng.py`.

use super::table::{SigmaTable, ddim_uniform, exponential, karras, linspace, simple};
use super::{
    NoiseRules, RunRequest, SigmaSchedule, TimestepRule, TimestepSchedule, WebUiSchedule, WebUiSettings, kl_optimal,
    quantile_points, without_penultimate,
};
use crate::num::{to_f32, to_index};
use crate::samplers::spacing::{SigmaSpacing, beta_quantile, interpolate};

/// Samplers that step in σ (k-diffusion's).
const SIGMA_SAMPLERS: [&str; 14] = [
    "euler",
    "euler_a",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "dpmpp_2s_a",
    "dpmpp_sde",
    "heun",
    "dpm2",
    "dpm2_a",
    "lms",
    "restart",
    "lcm",
];
/// Samplers that step in training timesteps.
const TIMESTEP_SAMPLERS: [&str; 3] = ["ddim", "pndm", "unipc"];
/// Samplers that plan one step more and leave out the level before the last.
const DISCARDS_PENULTIMATE: [&str; 3] = ["dpm2", "dpm2_a", "dpmpp_3m_sde"];
/// Number of timesteps that LCM was distilled with.
const DISTILLED: usize = 50;

/// Returns how noise is seeded.
pub(super) fn noise_rules(settings: &WebUiSettings) -> NoiseRules {
    let delta = settings.noise_seed_delta;
    NoiseRules { seeds_each_image: true, step_seed_delta: (delta != 0).then_some(delta), samples_encoder: false }
}

/// Plans a run; `None` for samplers that the web UI does not have.
pub(super) fn schedule(request: &RunRequest) -> Option<WebUiSchedule> {
    if TIMESTEP_SAMPLERS.contains(&request.sampler) {
        return Some(WebUiSchedule::Timesteps(timestep_schedule(request)));
    }
    SIGMA_SAMPLERS.contains(&request.sampler).then(|| WebUiSchedule::Sigmas(sigma_schedule(request)))
}

/// Returns the number of steps to plan and how many of them to run.
fn planned_and_run(request: &RunRequest) -> (usize, usize) {
    let steps = request.steps;
    match request.strength.map(|strength| strength.min(0.999)) {
        None => (steps, steps),
        Some(strength) if request.is_second_pass => {
            let planned = if strength > 0.0 { to_index(steps as f64 / strength) } else { steps };
            (planned, steps)
        }
        Some(strength) => (steps, to_index(strength * steps as f64) + 1),
    }
}

fn sigma_schedule(request: &RunRequest) -> SigmaSchedule {
    let alphas_bar = request.alphas_bar.iter().map(|alpha_bar| to_f32(*alpha_bar));
    let (table, rule) = match request.sampler {
        "lcm" => {
            let stride = (request.alphas_bar.len() / DISTILLED).max(1);
            let distilled = alphas_bar.skip(stride - 1).step_by(stride);
            (SigmaTable::rounded(distilled), TimestepRule::Nearest { first: stride - 1, stride })
        }
        _ if request.settings.quantize => {
            (SigmaTable::rounded(alphas_bar), TimestepRule::Nearest { first: 0, stride: 1 })
        }
        _ => (SigmaTable::rounded(alphas_bar), TimestepRule::Fractional),
    };
    let discards = DISCARDS_PENULTIMATE.contains(&request.sampler) || request.settings.discard_penultimate;
    let (planned, run) = planned_and_run(request);
    let spacing = request.spacing.unwrap_or(request.automatic);
    let mut sigmas = levels(spacing, planned + usize::from(discards), &table, request.is_xl);
    if discards {
        sigmas = without_penultimate(sigmas);
    }
    let range = SigmaSchedule::range_of(&sigmas);
    sigmas.drain(..planned.saturating_sub(run).min(sigmas.len() - 1));
    let sigma = f64::from(sigmas[0]);
    let multiplies = request.settings.sgm_noise_multiplier && request.strength.is_none();
    let initial_noise = if multiplies { (1.0 + sigma * sigma).sqrt() } else { sigma };
    SigmaSchedule { sigmas, range, initial_noise, table, rule }
}

/// Returns the levels of `n` steps, and that of the end.
fn levels(spacing: SigmaSpacing, n: usize, table: &SigmaTable, is_xl: bool) -> Vec<f32> {
    let (ends, last) = ((table.min(), table.max()), table.last() as f64);
    let of_indices = |indices: Vec<f32>| indices.into_iter().map(|index| table.sigma_at(index)).collect();
    let mut sigmas: Vec<f32> = match spacing {
        SigmaSpacing::Timesteps | SigmaSpacing::LinearQuadratic => of_indices(linspace(last, 0.0, n)),
        SigmaSpacing::Karras => karras(n, ends),
        // Its exponent is 1 by default, which is a geometric progression.
        SigmaSpacing::Exponential | SigmaSpacing::Polyexponential => exponential(n, ends),
        SigmaSpacing::SgmUniform => of_indices(linspace(last, 0.0, n + 1).into_iter().take(n).collect()),
        SigmaSpacing::Simple => simple(n, table),
        SigmaSpacing::DdimUniform => ddim_uniform(n, table),
        SigmaSpacing::Beta => {
            quantile_points(n, n - 1).map(|p| to_f32(ends.0 + beta_quantile(p) * (ends.1 - ends.0))).collect()
        }
        SigmaSpacing::Ays => align_your_steps(n, is_xl),
        // The last level is the smallest one, and not 0.
        SigmaSpacing::KlOptimal => return kl_optimal(n + 1, n, ends),
    };
    sigmas.push(0.0);
    sigmas
}

/// Levels of Align Your Steps for 10 steps and the smallest one, as rounded by the web UI.
const AYS: [f64; 11] = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029];
/// The same for SDXL.
const AYS_XL: [f64; 11] = [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029];

/// Returns `n` levels, interpolated in log σ, the last of which is the smallest.
fn align_your_steps(n: usize, is_xl: bool) -> Vec<f32> {
    let logs: Vec<f64> = if is_xl { AYS_XL } else { AYS }.iter().map(|level| level.ln()).collect();
    // numpy spaces positions from the end, so that one level is the smallest one.
    let position = |i: usize| match n {
        1 => 10.0,
        _ => i as f64 / (n - 1) as f64 * 10.0,
    };
    (0..n).map(|i| to_f32(interpolate(&logs, position(i)).exp())).collect()
}

fn timestep_schedule(request: &RunRequest) -> TimestepSchedule {
    let train = request.alphas_bar.len();
    let (planned, run) = planned_and_run(request);
    let planned = planned + usize::from(request.settings.discard_penultimate);
    let ascending = (0..train).step_by((train / planned.max(1)).max(1)).map(|t| (t + 1).min(train - 1) as i64);
    let mut timesteps: Vec<i64> = ascending.collect();
    let start = request.strength.map(|_| {
        // The image is noised to one timestep above the first call.
        let start = timesteps[(run - 1).min(timesteps.len() - 1)];
        timesteps.truncate(run - 1);
        start
    });
    timesteps.reverse();
    TimestepSchedule { timesteps, start }
}
