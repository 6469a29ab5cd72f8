//! iPNDM: an Adams-Bashforth method of up to order 4 on dx/dσ.
//!
//! Source: Zhang and Chen, "Fast Sampling of Diffusion Models with Exponential Integrator", 2022; ComfyUI's sampler
//! "ipndm", which has the coefficients of even steps for all.

use super::noise::NoiseSource;
use super::properties::Properties;
use super::solver::{Call, Row, Solver, weighted_sum};
use super::spacing::SigmaSpacing;

pub(super) const IPNDM: Row = Row::new(
    Properties {
        automatic_spacing: Some(SigmaSpacing::Timesteps),
        is_web_ui_only: true,
        ..Properties::variance_exploding("ipndm", "IPNDM")
    },
    |run| (Box::new(Ipndm { slopes: Vec::new() }), run.schedule.sigma_schedule(run.steps)),
);

/// Weights of the derivatives, newest first, by order.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

struct Ipndm {
    /// Derivatives of the last calls, newest first.
    slopes: Vec<Vec<f32>>,
}

impl Solver for Ipndm {
    fn step(&mut self, call: &Call, _noise: &mut dyn NoiseSource) -> Vec<f32> {
        if call.ends_at_zero() {
            return call.clean();
        }
        self.slopes.insert(0, call.noise());
        self.slopes.truncate(WEIGHTS.len());
        let dt = call.next_level().sigma_ratio() - call.level().sigma_ratio();
        let weights = WEIGHTS[self.slopes.len() - 1];
        let mut terms = vec![(1.0, call.sample)];
        terms.extend(weights.iter().zip(&self.slopes).map(|(weight, slope)| (weight * dt, slope.as_slice())));
        weighted_sum(&terms)
    }
}
