//! The list of samplers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::solver::Row;
use super::{ScheduleError, SigmaSpacing};

/// Defines [`SamplerKind`] from the samplers in menu order: the variant, and the row in the sampler's file.
macro_rules! samplers {
    ($($(#[$doc:meta])+ $kind:ident = $row:path,)+) => {
        /// A sampler, serialized by its [`name`](Self::name).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(into = "&'static str", try_from = "String")]
        pub enum SamplerKind {
            $($(#[$doc])+ $kind,)+
        }

        impl SamplerKind {
            /// All samplers, in menu order.
            pub const ALL: [SamplerKind; [$(SamplerKind::$kind),+].len()] = [$(SamplerKind::$kind),+];

            /// Returns what the sampler's file defines.
            pub(super) fn row(self) -> &'static Row {
                match self {
                    $(Self::$kind => &$row,)+
                }
            }
        }
    };
}

samplers! {
    /// Denoising diffusion implicit models: one model call per step, deterministic unless `eta` is set.
    Ddim = super::ddim::DDIM,
    /// Euler's method on the probability flow ODE.
    Euler = super::euler::EULER,
    /// Euler's method with added noise in every step (ancestral).
    EulerA = super::euler_a::EULER_A,
    /// DPM-Solver++, second order, multistep.
    Dpmpp2m = super::dpmpp_2m::DPMPP_2M,
    /// DPM-Solver++ (2M) on the SDE, with added noise in every step.
    Dpmpp2mSde = super::dpmpp_2m::DPMPP_2M_SDE,
    /// DPM-Solver++, second order, singlestep, with added noise in every step: two model calls per step.
    Dpmpp2sA = super::dpmpp_2s_a::DPMPP_2S_A,
    /// DPM-Solver++ on the SDE: two model calls and two noise samples per step.
    DpmppSde = super::dpmpp_sde::DPMPP_SDE,
    /// Heun's method: two model calls per step.
    Heun = super::heun::HEUN,
    /// Midpoint method, with the midpoint in log σ: two model calls per step.
    Dpm2 = super::dpm2::DPM2,
    /// DPM2 with added noise in every step (ancestral).
    Dpm2A = super::dpm2::DPM2_A,
    /// Linear multistep method of order 4.
    Lms = super::lms::LMS,
    /// Pseudo linear multistep method (PLMS), without Runge-Kutta start: one call more than steps.
    Pndm = super::pndm::PNDM,
    /// Unified predictor-corrector, second order.
    UniPc = super::unipc::UNIPC,
    /// Latent consistency sampling, for models distilled to 1 to 8 steps.
    Lcm = super::lcm::LCM,
    /// Trajectory consistency sampling, for models distilled to few steps.
    Tcd = super::tcd::TCD,
}

impl SamplerKind {
    /// Returns the name in recipes and on the command line: `ddim`, `euler_a`, `dpmpp_2m`, …
    pub fn name(self) -> &'static str {
        self.row().properties.name
    }

    /// Returns the label in the web UIs: `DDIM`, `Euler a`, `DPM++ 2M`, …
    pub fn label(self) -> &'static str {
        self.row().properties.label
    }

    /// Returns the spacing of the web UIs' schedule type "Automatic", if the sampler has one.
    pub fn automatic_spacing(self) -> Option<SigmaSpacing> {
        self.row().properties.automatic_spacing
    }

    /// Returns whether noise levels can be spaced independently of the timesteps.
    pub fn has_sigma_spacing(self) -> bool {
        self.row().properties.is_sigma_based
    }

    /// Returns whether the noise added per step is adjustable.
    pub fn has_eta(self) -> bool {
        self.row().properties.eta.is_some()
    }

    /// Returns the eta that diffusers' pipelines pass, if it differs from the default of
    /// [`SamplerOptions`](super::SamplerOptions).
    pub fn pipeline_eta(self) -> Option<f64> {
        self.row().properties.pipeline_eta
    }

    /// Returns the number of model calls per step, other than at the ends of a run.
    pub fn calls_per_step(self) -> usize {
        self.row().properties.calls_per_step
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

impl FromStr for SamplerKind {
    type Err = ScheduleError;

    fn from_str(name: &str) -> Result<Self, ScheduleError> {
        // The web UIs' name of PNDM without Runge-Kutta steps.
        let name = if name == "plms" { Self::Pndm.name() } else { name };
        let found = Self::ALL.into_iter().find(|kind| kind.name() == name);
        found.ok_or_else(|| ScheduleError::UnknownSampler {
            name: name.into(),
            available: Self::ALL.map(SamplerKind::name).join(", "),
        })
    }
}

impl TryFrom<String> for SamplerKind {
    type Error = ScheduleError;

    fn try_from(name: String) -> Result<Self, ScheduleError> {
        name.parse()
    }
}
