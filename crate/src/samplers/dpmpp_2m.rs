//! Turns the last two clean predictions into the next sample by DPM-Solver++ (2M), on the flow or with fresh noise.
//!
//! Source: Lu et al., "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic
//! Models", 2022, multistep of second order with the midpoint rule.

use super::{Call, weighted_sum};

pub(super) struct Dpmpp2m {
    stochastic: bool,
    /// Clean prediction of the call before.
    last: Option<Vec<f32>>,
}

impl Dpmpp2m {
    pub fn new(stochastic: bool) -> Self {
        Self { stochastic, last: None }
    }

    pub fn step(&mut self, call: &Call, noise: &mut dyn FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let (from, to) = (call.level(), call.next_level());
        let width = to.lambda() - from.lambda();
        let clean = call.clean();
        let target = match &self.last {
            Some(last) if !call.is_last() => {
                let ratio = (from.lambda() - call.levels[call.index - 1].lambda()) / width;
                let extrapolation = 0.5 / ratio;
                weighted_sum(&[(1.0 + extrapolation, &clean), (-extrapolation, last)])
            }
            _ => clean.clone(),
        };
        self.last = Some(clean);
        if !self.stochastic {
            let kept = to.sigma / from.sigma;
            return weighted_sum(&[(kept, call.sample), (-to.alpha * (-width).exp_m1(), &target)]);
        }
        let kept = to.sigma / from.sigma * (-width).exp();
        let replaced = -(-2.0 * width).exp_m1();
        let fresh = noise(call.sample.len());
        weighted_sum(&[(kept, call.sample), (to.alpha * replaced, &target), (to.sigma * replaced.sqrt(), &fresh)])
    }
}
