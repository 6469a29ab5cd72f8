//! Gradient estimation: Euler's method with an extrapolated derivative, also with CFG++ guidance.
//!
//! Source: Permenter and Yuan, "Interpreting and Improving Diffusion Models from an Optimization Perspective", 2024;
//! ComfyUI's samplers "gradient_estimation…".

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

const fn properties(name: &'static str, label: &'static str) -> Properties {
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding(name, label)
    }
}

pub(super) const GRADIENT_ESTIMATION: Row = Row::new(properties("gradient_estimation", "Gradient Estimation"), |run| {
    (Box::new(GradientEstimation { is_cfg_pp: false, last: None }), run.schedule.sigma_schedule(run.steps))
});

pub(super) const GRADIENT_ESTIMATION_CFG_PP: Row = Row::new(
    Properties { cfg_pp_divisor: Some(1.0), ..properties("gradient_estimation_cfg_pp", "Gradient Estimation CFG++") },
    |run| (Box::new(GradientEstimation { is_cfg_pp: true, last: None }), run.schedule.sigma_schedule(run.steps)),
);

/// Weight of the change of the derivative (γ - 1).
const EXTRAPOLATION: f64 = 1.0;

struct GradientEstimation {
    is_cfg_pp: bool,
    /// Derivative of the previous call.
    last: Option<Vec<f32>>,
}

impl Solver for GradientEstimation {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        let clean = call.clean();
        if call.ends_at_zero() {
            return clean;
        }
        let (sigma, to) = (call.level().sigma_ratio(), call.next_level().sigma_ratio());
        let slope = if self.is_cfg_pp { call.negative_noise() } else { call.noise() };
        let mut next = weighted_sum(&[(1.0, &clean), (to, &slope)]);
        if let Some(last) = &self.last {
            let dt = EXTRAPOLATION * (to - sigma);
            next = weighted_sum(&[(1.0, &next), (dt, &slope), (-dt, last)]);
        }
        self.last = Some(slope);
        next
    }
}
