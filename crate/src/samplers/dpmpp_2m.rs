//! DPM-Solver++ (2M) and its SDE variant.
//!
//! Source: Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic
//! Models", 2022, multistep of second order with the midpoint rule.

use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const DPMPP_2M: Row = Row::new(
    Properties { automatic_spacing: Some(SigmaSpacing::Karras), ..Properties::sigma_based("dpmpp_2m", "DPM++ 2M") },
    |run| (Box::new(Dpmpp2m::new(false)), run.schedule.lambda_schedule(run.steps)),
);

pub(super) const DPMPP_2M_SDE: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Exponential),
        ..Properties::sigma_based("dpmpp_2m_sde", "DPM++ 2M SDE")
    },
    |run| (Box::new(Dpmpp2m::new(true)), run.schedule.lambda_schedule(run.steps)),
);

struct Dpmpp2m {
    /// Whether to solve the SDE instead of the probability flow ODE.
    stochastic: bool,
    /// x₀ prediction of the previous call.
    last: Option<Vec<f32>>,
}

impl Dpmpp2m {
    fn new(stochastic: bool) -> Self {
        Self { stochastic, last: None }
    }
}

impl Solver for Dpmpp2m {
    fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let (from, to) = (call.level(), call.next_level());
        let h = to.lambda() - from.lambda();
        let clean = call.clean();
        let target = match &self.last {
            Some(last) if !call.is_last() => {
                let ratio = (from.lambda() - call.levels[call.index - 1].lambda()) / h;
                let extrapolation = 0.5 / ratio;
                weighted_sum(&[(1.0 + extrapolation, &clean), (-extrapolation, last)])
            }
            _ => clean.clone(),
        };
        self.last = Some(clean);
        if !self.stochastic {
            let sample_weight = to.sigma / from.sigma;
            return weighted_sum(&[(sample_weight, call.sample), (-to.alpha * (-h).exp_m1(), &target)]);
        }
        let sample_weight = to.sigma / from.sigma * (-h).exp();
        let gain = -(-2.0 * h).exp_m1();
        let noise = noise(call.sample.len());
        weighted_sum(&[(sample_weight, call.sample), (to.alpha * gain, &target), (to.sigma * gain.sqrt(), &noise)])
    }
}
