//! AUTOMATIC1111's web UI 1.10.
//!
//! Source: its `sd_schedulers.py`, `sd_samplers_kdiffusion.py`, `sd_samplers_timesteps.py` and `rng.py`.

use super::levels::{LevelRequest, kl_optimal};
use super::table::SigmaTable;
use super::{
    NoiseRules, RunRequest, SigmaSchedule, TimestepRule, TimestepSchedule, WebUiSchedule, WebUiSettings,
    without_penultimate,
};
use crate::num::{to_f32, to_index};
use crate::samplers::spacing::SigmaSpacing;

/// Samplers that step in σ: k-diffusion's, and those that forks (Forge, reForge) have from ComfyUI.
const SIGMA_SAMPLERS: [&str; 38] = [
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
    "dpm_fast",
    "dpm_adaptive",
    "ddpm",
    "euler_cfg_pp",
    "euler_a_cfg_pp",
    "dpmpp_2s_a_cfg_pp",
    "dpmpp_2m_cfg_pp",
    "heunpp2",
    "ipndm",
    "ipndm_v",
    "deis",
    "seeds_2",
    "seeds_3",
    "exp_heun_2_x0",
    "exp_heun_2_x0_sde",
    "sa_solver",
    "sa_solver_pece",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_a",
    "res_multistep_a_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
];
/// Samplers that step in training timesteps.
const TIMESTEP_SAMPLERS: [&str; 4] = ["ddim", "ddim_cfg_pp", "pndm", "unipc"];
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
    let mut sigmas = levels(spacing, planned + usize::from(discards), &LevelRequest::new(request, &table));
    if discards {
        sigmas = without_penultimate(sigmas);
    }
    let range = SigmaSchedule::range_of(&sigmas);
    sigmas.drain(..planned.saturating_sub(run).min(sigmas.len() - 1));
    let sigma = f64::from(sigmas[0]);
    let multiplies = request.settings.sgm_noise_multiplier && request.strength.is_none();
    let initial_noise = if multiplies { (1.0 + sigma * sigma).sqrt() } else { sigma };
    // From noise, the web UI's DPM-Solver ignores the schedule type.
    let solver_range = match request.strength {
        None => (table.max(), table.min()),
        Some(_) => SigmaSchedule::first_and_last_of(&sigmas),
    };
    SigmaSchedule { sigmas, range, initial_noise, solver_range, table, rule }
}

/// Returns the levels of `n` steps, and that of the end.
fn levels(spacing: SigmaSpacing, n: usize, request: &LevelRequest) -> Vec<f32> {
    if spacing == SigmaSpacing::KlOptimal {
        // The last level is the smallest one, and not 0.
        return kl_optimal(n + 1, n, request.ends);
    }
    let mut sigmas = request.levels(spacing, n);
    sigmas.push(0.0);
    sigmas
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
