//! The list of samplers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::programs::comfyui;
use super::solver::Row;
use super::{ScheduleError, SigmaSpacing};
use crate::program::Program;

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
    /// DPM-Solver++ (2M) on the SDE with the rule of Heun's method: in the web UIs.
    Dpmpp2mSdeHeun = super::dpmpp_2m::DPMPP_2M_SDE_HEUN,
    /// DPM-Solver++, third order, multistep, on the SDE: in the web UIs.
    Dpmpp3mSde = super::dpmpp_3m_sde::DPMPP_3M_SDE,
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
    /// Heun's method with restarts at a higher noise level: in AUTOMATIC1111's web UI.
    Restart = super::restart::RESTART,
    /// Unified predictor-corrector: second order in diffusers, third in the web UIs.
    UniPc = super::unipc::UNIPC,
    /// Unified predictor-corrector with B(h) = e^h - 1: in ComfyUI.
    UniPcBh2 = super::unipc::UNIPC_BH2,
    /// DPM-Solver with steps of orders 1 to 3 for a number of model calls: in the web UIs.
    DpmFast = super::dpm_fast::DPM_FAST,
    /// DPM-Solver of order 3 with as many steps as the error needs: in the web UIs.
    DpmAdaptive = super::dpm_adaptive::DPM_ADAPTIVE,
    /// Denoising diffusion probabilistic models, stepped in σ: in ComfyUI and Forge.
    Ddpm = super::ddpm::DDPM,
    /// DDIM with CFG++ guidance: in AUTOMATIC1111's web UI.
    DdimCfgPp = super::ddim::DDIM_CFG_PP,
    /// Euler's method with CFG++ guidance: in ComfyUI.
    EulerCfgPp = super::cfg_pp::EULER_CFG_PP,
    /// Euler ancestral with CFG++ guidance: in ComfyUI.
    EulerACfgPp = super::cfg_pp::EULER_A_CFG_PP,
    /// DPM-Solver++ (2S) ancestral with CFG++ guidance: in ComfyUI.
    Dpmpp2sACfgPp = super::cfg_pp::DPMPP_2S_A_CFG_PP,
    /// DPM-Solver++ (2M) with CFG++ guidance: in ComfyUI.
    Dpmpp2mCfgPp = super::cfg_pp::DPMPP_2M_CFG_PP,
    /// Heun's method with up to three calls per step: in ComfyUI and Forge.
    HeunPp2 = super::heunpp2::HEUNPP2,
    /// Adams-Bashforth method of order 4: in ComfyUI and Forge.
    Ipndm = super::ipndm::IPNDM,
    /// Adams-Bashforth method of order 4 for uneven steps: in ComfyUI and Forge.
    IpndmV = super::ipndm::IPNDM_V,
    /// Diffusion exponential integrator sampler of third order: in ComfyUI and Forge.
    Deis = super::deis::DEIS,
    /// Exponential SDE solver of second order: in ComfyUI.
    Seeds2 = super::seeds::SEEDS_2,
    /// Exponential SDE solver of third order: in ComfyUI.
    Seeds3 = super::seeds::SEEDS_3,
    /// Exponential Heun method: in ComfyUI.
    ExpHeun2X0 = super::seeds::EXP_HEUN_2_X0,
    /// Exponential Heun method on the SDE: in ComfyUI.
    ExpHeun2X0Sde = super::seeds::EXP_HEUN_2_X0_SDE,
    /// Stochastic Adams method of third order: in ComfyUI.
    SaSolver = super::sa_solver::SA_SOLVER,
    /// Stochastic Adams method with a second call after the corrector: in ComfyUI.
    SaSolverPece = super::sa_solver::SA_SOLVER_PECE,
    /// Multistep exponential integrator of second order: in ComfyUI.
    ResMultistep = super::res_multistep::RES_MULTISTEP,
    /// RES with CFG++ guidance: in ComfyUI.
    ResMultistepCfgPp = super::res_multistep::RES_MULTISTEP_CFG_PP,
    /// RES with added noise in every step: in ComfyUI.
    ResMultistepA = super::res_multistep::RES_MULTISTEP_A,
    /// RES with added noise and CFG++ guidance: in ComfyUI.
    ResMultistepACfgPp = super::res_multistep::RES_MULTISTEP_A_CFG_PP,
    /// Euler's method with an extrapolated derivative: in ComfyUI.
    GradientEstimation = super::gradient_estimation::GRADIENT_ESTIMATION,
    /// Gradient estimation with CFG++ guidance: in ComfyUI.
    GradientEstimationCfgPp = super::gradient_estimation::GRADIENT_ESTIMATION_CFG_PP,
    /// Extended reverse-time SDE solver of third order: in ComfyUI.
    ErSde = super::er_sde::ER_SDE,
    /// Latent consistency sampling, for models distilled to 1 to 8 steps.
    Lcm = super::lcm::LCM,
    /// Trajectory consistency sampling, for models distilled to few steps.
    Tcd = super::tcd::TCD,
}

impl SamplerKind {
    /// Returns what the sampler is in a program.
    pub(super) fn row_in(self, program: Program) -> &'static Row {
        match (self, program) {
            (Self::Lcm, Program::A1111) => &super::lcm_web_ui::LCM_A1111,
            (Self::Lcm, Program::Comfyui) => &super::lcm_web_ui::LCM_COMFYUI,
            (Self::UniPc, Program::A1111) => &super::unipc::UNIPC_A1111,
            (Self::UniPc, Program::Comfyui) => &super::unipc::UNIPC_COMFYUI,
            (Self::DpmFast, Program::Comfyui) => &super::dpm_fast::DPM_FAST_COMFYUI,
            (Self::DpmAdaptive, Program::Comfyui) => &super::dpm_adaptive::DPM_ADAPTIVE_COMFYUI,
            (Self::Lms, Program::Comfyui) => &super::lms::LMS_COMFYUI,
            // ComfyUI's "ddim" is Euler's method.
            (Self::Ddim, Program::Comfyui) => &super::euler::EULER,
            _ => self.row(),
        }
    }

    /// Returns the sampler with this name in ComfyUI: `euler_ancestral`, `uni_pc`, …
    pub fn of_comfyui(name: &str) -> Option<Self> {
        let (own, _) = comfyui::SAMPLERS.iter().find(|row| row.1 == name)?;
        own.parse().ok()
    }

    /// Returns whether ComfyUI draws the noise of the sampler's steps on the graphics card, if there is one.
    pub fn draws_on_device_in_comfyui(self) -> bool {
        comfyui::DRAWS_ON_DEVICE.contains(&self.name())
    }

    /// Returns whether only the web UIs have the sampler.
    pub fn is_web_ui_only(self) -> bool {
        self.row().properties.is_web_ui_only
    }

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

    /// Returns what the CFG scale is divided by if this is a CFG++ sampler, which always needs the negative prompt.
    pub fn cfg_pp_divisor(self) -> Option<f32> {
        self.row().properties.cfg_pp_divisor
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
