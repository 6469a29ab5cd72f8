//! DPM-Solver++ (2M) and its SDE variants.
//!
//! Source: Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic
//! Models", 2022, multistep of second order with the midpoint rule, or with that of Heun's method.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DPMPP_2M: Row = Row::new(
    Properties { automatic_spacing: Some(SigmaSpacing::Karras), ..Properties::sigma_based("dpmpp_2m", "DPM++ 2M") },
    |run| (Box::new(Dpmpp2m::new(0.0, 1.0, false)), run.schedule.lambda_schedule(run.steps)),
);

pub(super) const DPMPP_2M_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Exponential),
        eta: Some(1.0),
        ..Properties::sigma_based("dpmpp_2m_sde", "DPM++ 2M SDE")
    },
    |run| (Box::new(Dpmpp2m::new(run.eta, run.noise_scale(), false)), run.schedule.lambda_schedule(run.steps)),
);

pub(super) const DPMPP_2M_SDE_HEUN: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Exponential),
        eta: Some(1.0),
        is_web_ui_only: true,
        ..Properties::sigma_based("dpmpp_2m_sde_heun", "DPM++ 2M SDE Heun")
    },
    |run| (Box::new(Dpmpp2m::new(run.eta, run.noise_scale(), true)), run.schedule.lambda_schedule(run.steps)),
);

struct Dpmpp2m {
    /// Noise added per step: 0 solves the probability flow ODE, 1 the SDE.
    eta: f64,
    noise_scale: f64,
    is_heun: bool,
    /// x₀ prediction of the previous call.
    last: Option<Vec<f32>>,
}

impl Dpmpp2m {
    fn new(eta: f64, noise_scale: f64, is_heun: bool) -> Self {
        Self { eta, noise_scale, is_heun, last: None }
    }
}

impl Solver for Dpmpp2m {
    fn step(&mut self, call: &Call, noise: &mut dyn NoiseSource) -> Vec<f32> {
        let (from, to) = (call.level(), call.next_level());
        let h = to.lambda() - from.lambda();
        let damped = h * (1.0 + self.eta);
        let gain = -(-damped).exp_m1();
        let clean = call.clean();
        let target = match &self.last {
            Some(last) if !call.ends_at_zero() => {
                let ratio = (from.lambda() - call.levels[call.index - 1].lambda()) / h;
                let share = if self.is_heun { (1.0 - gain / damped) / gain } else { 0.5 };
                let extrapolation = share / ratio;
                weighted_sum(&[(1.0 + extrapolation, &clean), (-extrapolation, last)])
            }
            _ => clean.clone(),
        };
        self.last = Some(clean);
        let decay = if self.eta > 0.0 { (-h * self.eta).exp() } else { 1.0 };
        let mut terms = vec![(to.sigma / from.sigma * decay, call.sample), (to.alpha * gain, target.as_slice())];
        if self.eta > 0.0 {
            let noise = noise.between(call.sample.len(), from.sigma_ratio(), to.sigma_ratio());
            terms.push((to.sigma * (-(-2.0 * h * self.eta).exp_m1()).sqrt() * self.noise_scale, &noise));
            return weighted_sum(&terms);
        }
        weighted_sum(&terms)
    }
}
