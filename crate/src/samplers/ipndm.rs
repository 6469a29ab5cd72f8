//! iPNDM: an Adams-Bashforth method of up to order 4 on dx/dσ.
//!
//! Source: Zhang and Chen, "Fast Sampling of Diffusion Models with Exponential Integrator", 2022; ComfyUI's samplers
//! "ipndm", which has the coefficients of even steps for all, and "ipndm_v", whose coefficients depend on the steps.

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

pub(super) const IPNDM: Row = Row::new(properties("ipndm", "IPNDM"), |run| {
    (Box::new(Ipndm { is_variable: false, slopes: Vec::new() }), run.schedule.sigma_schedule(run.steps))
});

pub(super) const IPNDM_V: Row = Row::new(properties("ipndm_v", "IPNDM_V"), |run| {
    (Box::new(Ipndm { is_variable: true, slopes: Vec::new() }), run.schedule.sigma_schedule(run.steps))
});

/// Weights of the derivatives, newest first, by order.
const WEIGHTS: [&[f64]; 4] = [
    &[1.0],
    &[3.0 / 2.0, -1.0 / 2.0],
    &[23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
    &[55.0 / 24.0, -59.0 / 24.0, 37.0 / 24.0, -9.0 / 24.0],
];

struct Ipndm {
    /// Whether the weights depend on the lengths of the steps.
    is_variable: bool,
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
        let weights = match self.is_variable {
            true => {
                let step = |back: usize| {
                    let from = call.levels[call.index - back];
                    call.levels[call.index - back + 1].sigma_ratio() - from.sigma_ratio()
                };
                variable_weights(&(0..self.slopes.len()).map(step).collect::<Vec<f64>>())
            }
            false => WEIGHTS[self.slopes.len() - 1].to_vec(),
        };
        let mut terms = vec![(1.0, call.sample)];
        terms.extend(weights.iter().zip(&self.slopes).map(|(weight, slope)| (weight * dt, slope.as_slice())));
        weighted_sum(&terms)
    }
}

/// Returns the weights for the lengths of the last steps, newest first. Those of the third and fourth derivative are
/// ComfyUI's, which are exact for even steps only.
fn variable_weights(steps: &[f64]) -> Vec<f64> {
    let &[h, ref last @ ..] = steps else { return Vec::new() };
    let Some(&h1) = last.first() else { return vec![1.0] };
    let ratio = h / h1;
    let mut weights = vec![1.0 + ratio / 2.0, -ratio / 2.0];
    let Some(&h2) = last.get(1) else { return weights };
    let third = (1.0 - h / (3.0 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2.0;
    let before = h1 / h2;
    weights = vec![weights[0] + third, weights[1] - (1.0 + before) * third, third * before];
    let Some(&h3) = last.get(2) else { return weights };
    let share = (1.0 - h / (3.0 * (h + h1))) / 2.0 + (1.0 - h / (2.0 * (h + h1))) * h / (6.0 * (h + h1 + h2));
    let fourth = share * (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3));
    let spread = h1 * (h1 + h2) / (h2 * (h2 + h3));
    vec![
        weights[0] + fourth,
        weights[1] - (1.0 + before + spread) * fourth,
        weights[2] + (before + spread * (1.0 + h2 / h3)) * fourth,
        -fourth * spread * before,
    ]
}
