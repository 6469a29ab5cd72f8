//! Properties of a sampler, most of them of its diffusers class.

use super::spacing::{SigmaSpacing, TimestepSpacing};

/// What the schedule, the page and the web UIs' parameters need to know of a sampler.
#[derive(Debug, Clone, Copy)]
pub(super) struct Properties {
    /// Name in recipes and on the command line.
    pub name: &'static str,
    /// Label in the web UIs.
    pub label: &'static str,
    /// Spacing of the web UIs' schedule type "Automatic", if the sampler has one.
    pub automatic_spacing: Option<SigmaSpacing>,
    /// Number of model calls per step, other than at the ends of a run.
    pub calls_per_step: usize,
    /// Whether samples are x₀ + σ·noise (variance exploding), scaled down for the network.
    pub is_variance_exploding: bool,
    /// Whether noise levels come from a table of σ, which must be finite. Their spacing is then independent of the
    /// timesteps.
    pub is_sigma_based: bool,
    /// Whether the diffusers class honours `use_karras_sigmas` and the like.
    pub follows_spaced_config: bool,
    /// Whether the diffusers class supports `rescale_betas_zero_snr`.
    pub rescales_betas: bool,
    /// Timestep spacing that the diffusers class defaults to.
    pub default_spacing: TimestepSpacing,
    /// Whether the diffusers class defaults to a last step that ends at ᾱ = 1 (`set_alpha_to_one`).
    pub sets_alpha_to_one: bool,
    /// Whether the timesteps are those of the schedule that a consistency model was distilled with.
    pub is_distilled: bool,
    /// Eta that the diffusers class defaults to; `None` if the noise added per step is not adjustable.
    pub eta: Option<f64>,
    /// Eta that diffusers' pipelines pass instead of the class's default.
    pub pipeline_eta: Option<f64>,
    /// What the CFG scale is divided by, for CFG++ samplers: these always need the negative prompt's output.
    pub cfg_pp_divisor: Option<f32>,
    /// Whether only the web UIs have the sampler.
    pub is_web_ui_only: bool,
    /// Whether a run that starts between the two calls of a step is noised to the level at the end of that step, as
    /// in diffusers' DPM2 class, instead of to the level between them.
    pub starts_at_end_of_step: bool,
}

impl Properties {
    /// A sampler whose noise levels are those of its timesteps.
    pub const fn timestep_based(name: &'static str, label: &'static str) -> Self {
        Self {
            name,
            label,
            automatic_spacing: None,
            calls_per_step: 1,
            is_variance_exploding: false,
            is_sigma_based: false,
            follows_spaced_config: false,
            rescales_betas: true,
            default_spacing: TimestepSpacing::Leading,
            sets_alpha_to_one: true,
            is_distilled: false,
            eta: None,
            pipeline_eta: None,
            cfg_pp_divisor: None,
            is_web_ui_only: false,
            starts_at_end_of_step: false,
        }
    }

    /// A sampler of samples of unit variance, whose noise levels come from a table of σ.
    pub const fn sigma_based(name: &'static str, label: &'static str) -> Self {
        Self {
            is_sigma_based: true,
            follows_spaced_config: true,
            default_spacing: TimestepSpacing::Linspace,
            ..Self::timestep_based(name, label)
        }
    }

    /// A sampler of samples x₀ + σ·noise.
    pub const fn variance_exploding(name: &'static str, label: &'static str) -> Self {
        Self { is_variance_exploding: true, ..Self::sigma_based(name, label) }
    }

    /// A sampler of samples x₀ + σ·noise with two model calls per step.
    pub const fn two_calls(name: &'static str, label: &'static str) -> Self {
        Self { calls_per_step: 2, rescales_betas: false, ..Self::variance_exploding(name, label) }
    }
}
