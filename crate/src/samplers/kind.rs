//! The supported samplers and the properties of their diffusers classes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::TimestepSpacing;

/// A sampler, serialized by its [`name`](Self::name).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum SamplerKind {
    /// Denoising diffusion implicit models: one model call per step, deterministic unless `eta` is set.
    Ddim,
    /// Euler's method on the probability flow ODE.
    Euler,
    /// Euler's method with added noise in every step (ancestral).
    EulerA,
    /// DPM-Solver++, second order, multistep.
    Dpmpp2m,
    /// DPM-Solver++ (2M) on the SDE, with added noise in every step.
    Dpmpp2mSde,
    /// Heun's method: two model calls per step.
    Heun,
    /// Midpoint method, with the midpoint in log σ: two model calls per step.
    Dpm2,
    /// DPM2 with added noise in every step (ancestral).
    Dpm2A,
    /// DPM-Solver++, second order, singlestep, with added noise in every step: two model calls per step.
    Dpmpp2sA,
    /// DPM-Solver++ on the SDE: two model calls and two noise samples per step.
    DpmppSde,
    /// Linear multistep method of order 4.
    Lms,
    /// Pseudo linear multistep method (PLMS), without Runge-Kutta start: one call more than steps.
    Pndm,
    /// Unified predictor-corrector, second order.
    UniPc,
    /// Latent consistency sampling, for models distilled to 1 to 8 steps.
    Lcm,
    /// Trajectory consistency sampling, for models distilled to few steps.
    Tcd,
}

impl SamplerKind {
    /// All samplers, in menu order.
    pub const ALL: [SamplerKind; 15] = [
        Self::Ddim,
        Self::Euler,
        Self::EulerA,
        Self::Dpmpp2m,
        Self::Dpmpp2mSde,
        Self::Dpmpp2sA,
        Self::DpmppSde,
        Self::Heun,
        Self::Dpm2,
        Self::Dpm2A,
        Self::Lms,
        Self::Pndm,
        Self::UniPc,
        Self::Lcm,
        Self::Tcd,
    ];

    /// Returns the name in recipes and on the command line: `ddim`, `euler_a`, `dpmpp_2m`, …
    pub fn name(self) -> &'static str {
        match self {
            Self::Ddim => "ddim",
            Self::Euler => "euler",
            Self::EulerA => "euler_a",
            Self::Dpmpp2m => "dpmpp_2m",
            Self::Dpmpp2mSde => "dpmpp_2m_sde",
            Self::Dpmpp2sA => "dpmpp_2s_a",
            Self::DpmppSde => "dpmpp_sde",
            Self::Heun => "heun",
            Self::Dpm2 => "dpm2",
            Self::Dpm2A => "dpm2_a",
            Self::Lms => "lms",
            Self::Pndm => "pndm",
            Self::UniPc => "unipc",
            Self::Lcm => "lcm",
            Self::Tcd => "tcd",
        }
    }

    /// Returns whether samples are x₀ + σ·noise (variance exploding), scaled down for the network.
    pub(super) fn is_variance_exploding(self) -> bool {
        matches!(self, Self::Euler | Self::EulerA | Self::Lms) || self.calls_per_step() == 2
    }

    /// Returns whether noise levels come from a table of σ, which must be finite.
    pub(super) fn is_sigma_based(self) -> bool {
        !matches!(self, Self::Ddim | Self::Pndm | Self::Lcm | Self::Tcd)
    }

    /// Returns whether noise levels can be spaced independently of the timesteps.
    pub fn has_sigma_spacing(self) -> bool {
        self.is_sigma_based()
    }

    /// Returns whether the diffusers class honours `use_karras_sigmas` and the like.
    pub(super) fn follows_spaced_config(self) -> bool {
        self.is_sigma_based() && !matches!(self, Self::EulerA | Self::Dpmpp2sA)
    }

    /// Returns whether the noise added per step is adjustable.
    pub fn has_eta(self) -> bool {
        matches!(self, Self::Ddim | Self::Tcd | Self::EulerA | Self::Dpm2A | Self::Dpmpp2sA | Self::DpmppSde)
    }

    /// Returns whether the diffusers class supports `rescale_betas_zero_snr`.
    pub(super) fn rescales_betas(self) -> bool {
        !matches!(self, Self::Lms | Self::Pndm) && self.calls_per_step() == 1
    }

    /// Returns the number of model calls per step, other than at the ends of a run.
    pub fn calls_per_step(self) -> usize {
        if matches!(self, Self::Heun | Self::Dpm2 | Self::Dpm2A | Self::Dpmpp2sA | Self::DpmppSde) { 2 } else { 1 }
    }

    /// Returns the timestep spacing that the diffusers class defaults to.
    pub(super) fn default_spacing(self) -> TimestepSpacing {
        if self.is_sigma_based() { TimestepSpacing::Linspace } else { TimestepSpacing::Leading }
    }
}

impl fmt::Display for SamplerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<SamplerKind> for &'static str {
    fn from(kind: SamplerKind) -> Self {
        kind.name()
    }
}
