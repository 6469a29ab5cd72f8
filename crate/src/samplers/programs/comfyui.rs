//! ComfyUI.
//!
//! Source: its `comfy/samplers.py`, `comfy/model_sampling.py` and `comfy/k_diffusion/sampling.py`.

use super::levels::LevelRequest;
use super::table::SigmaTable;
use super::{NoiseRules, RunRequest, SigmaSchedule, TimestepRule, WebUiSchedule, without_penultimate};
use crate::num::{to_f32, to_index};
use crate::samplers::spacing::SigmaSpacing;

/// ComfyUI's samplers: their names in recipes and in ComfyUI.
pub(in crate::samplers) const SAMPLERS: [(&str, &str); 40] = [
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
    ("dpm_fast", "dpm_fast"),
    ("dpm_adaptive", "dpm_adaptive"),
    ("ddpm", "ddpm"),
    ("euler_cfg_pp", "euler_cfg_pp"),
    ("euler_a_cfg_pp", "euler_ancestral_cfg_pp"),
    ("dpmpp_2s_a_cfg_pp", "dpmpp_2s_ancestral_cfg_pp"),
    ("dpmpp_2m_cfg_pp", "dpmpp_2m_cfg_pp"),
    ("heunpp2", "heunpp2"),
    ("ipndm", "ipndm"),
    ("ipndm_v", "ipndm_v"),
    ("deis", "deis"),
    ("seeds_2", "seeds_2"),
    ("seeds_3", "seeds_3"),
    ("exp_heun_2_x0", "exp_heun_2_x0"),
    ("exp_heun_2_x0_sde", "exp_heun_2_x0_sde"),
    ("sa_solver", "sa_solver"),
    ("sa_solver_pece", "sa_solver_pece"),
    ("res_multistep", "res_multistep"),
    ("res_multistep_cfg_pp", "res_multistep_cfg_pp"),
    ("res_multistep_a", "res_multistep_ancestral"),
    ("res_multistep_a_cfg_pp", "res_multistep_ancestral_cfg_pp"),
    ("gradient_estimation", "gradient_estimation"),
    ("gradient_estimation_cfg_pp", "gradient_estimation_cfg_pp"),
    ("er_sde", "er_sde"),
];
/// Samplers whose steps take independent noise; that of the SDE samplers is from a path on the CPU.
pub(in crate::samplers) const DRAWS_ON_DEVICE: [&str; 15] = [
    "euler_a",
    "dpm2_a",
    "dpmpp_2s_a",
    "lcm",
    "ddpm",
    "euler_a_cfg_pp",
    "dpmpp_2s_a_cfg_pp",
    "res_multistep_a",
    "res_multistep_a_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "exp_heun_2_x0_sde",
    "sa_solver",
    "sa_solver_pece",
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
    let mut sigmas = levels(spacing, planned + usize::from(discards), &LevelRequest::new(request, &table));
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
    let solver_range = SigmaSchedule::first_and_last_of(&sigmas);
    let end = sigmas.len() - 1;
    if name.starts_with("unipc") && sigmas[end] == 0.0 {
        sigmas[end] = UNIPC_END;
    }
    let rule = TimestepRule::Nearest { first: 0, stride: 1 };
    Some(WebUiSchedule::Sigmas(SigmaSchedule { sigmas, range, initial_noise, solver_range, table, rule }))
}

/// Returns the levels of `n` steps, and 0.
fn levels(spacing: SigmaSpacing, n: usize, request: &LevelRequest) -> Vec<f32> {
    let table = request.table;
    let mut sigmas: Vec<f32> = match spacing {
        SigmaSpacing::Beta => {
            let last = table.last() as f64;
            let mut indices: Vec<usize> =
                request.beta_points(n, n).map(|p| to_index((p * last).round_ties_even())).collect();
            indices.dedup();
            indices.into_iter().map(|index| table.sigmas[index]).collect()
        }
        // The node "AlignYourStepsScheduler" has the levels as published.
        SigmaSpacing::Ays => {
            spacing.levels(n, &[], request.ends, request.is_xl).unwrap_or_default().into_iter().map(to_f32).collect()
        }
        _ => request.levels(spacing, n),
    };
    sigmas.push(0.0);
    sigmas
}
